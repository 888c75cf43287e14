package dev.corral.cache;

import com.google.protobuf.CodedInputStream;
import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.WireFormat;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.Set;
import java.util.zip.CRC32C;

/** Encodes entries like another release: with fields unknown to this release, or without some of its fields. */
public final class OtherReleaseEncoding {

    private static final int UNKNOWN_FIELD = 900;

    private OtherReleaseEncoding() {}

    /** The entry with unknown fields of every wire type at the start, in the terms and at the end. */
    public static byte[] asNewerRelease(byte[] entry) {
        return rewrite(entry, Set.of(), true);
    }

    /** The entry without the fields of these numbers. */
    public static byte[] withoutFields(byte[] entry, Set<Integer> numbers) {
        return rewrite(entry, numbers, false);
    }

    /** The entry without optional fields and fields that were added after the first release of the format. */
    public static byte[] asOlderRelease(byte[] entry) {
        return withoutFields(entry, Set.of(EntryWriter.TRACE, EntryWriter.EARLIER_VARY, EntryWriter.RETRY_AFTER));
    }

    private static byte[] rewrite(byte[] entry, Set<Integer> omitted, boolean addUnknown) {
        try {
            var message = new ByteArrayOutputStream();
            message.write(entry[0]);
            var out = CodedOutputStream.newInstance(message);
            copyFields(CodedInputStream.newInstance(entry, 1, entry.length - 5), out, omitted, addUnknown);
            out.flush();
            var checksum = new CRC32C();
            checksum.update(message.toByteArray());
            return ByteBuffer.allocate(message.size() + 4)
                    .put(message.toByteArray())
                    .putInt((int) checksum.getValue())
                    .array();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void copyFields(CodedInputStream in, CodedOutputStream out, Set<Integer> omitted, boolean addUnknown)
            throws IOException {
        if (addUnknown) {
            writeUnknownFields(out);
        }
        for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
            int number = WireFormat.getTagFieldNumber(tag);
            if (omitted.contains(number)) {
                in.skipField(tag);
            } else if (addUnknown && number == EntryWriter.TERMS) {
                var nested = new ByteArrayOutputStream();
                var terms = CodedOutputStream.newInstance(nested);
                copyFields(CodedInputStream.newInstance(in.readByteArray()), terms, omitted, true);
                terms.flush();
                out.writeByteArray(number, nested.toByteArray());
            } else if (WireFormat.getTagWireType(tag) == WireFormat.WIRETYPE_VARINT) {
                out.writeUInt64(number, in.readUInt64());
            } else {
                out.writeByteArray(number, in.readByteArray());
            }
        }
        if (addUnknown) {
            writeUnknownFields(out);
        }
    }

    private static void writeUnknownFields(CodedOutputStream out) throws IOException {
        out.writeUInt64(UNKNOWN_FIELD, Long.MAX_VALUE);
        out.writeFixed32(UNKNOWN_FIELD + 1, 1);
        out.writeFixed64(UNKNOWN_FIELD + 2, 1);
        out.writeByteArray(UNKNOWN_FIELD + 3, new byte[300]);
    }
}
