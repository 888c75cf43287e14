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

/** The bytes of entries as another release writes them: with fields this one does not know, or without some that it writes. */
public final class OtherReleaseEncoding {

    private static final int UNKNOWN_FIELD = 900;

    private OtherReleaseEncoding() {}

    /** With unknown fields of every wire type, at the start, in the terms and at the end. */
    public static byte[] asNewerRelease(byte[] entry) {
        return rewrite(entry, Set.of(), true);
    }

    /** Without the fields of these numbers. */
    public static byte[] withoutFields(byte[] entry, Set<Integer> numbers) {
        return rewrite(entry, numbers, false);
    }

    /** Without anything that came to the format after its first release, or may be absent. */
    public static byte[] asOlderRelease(byte[] entry) {
        return withoutFields(entry, Set.of(EntryWriter.TRACE, EntryWriter.EARLIER_VARY, EntryWriter.RETRY_AFTER));
    }

    private static byte[] rewrite(byte[] entry, Set<Integer> left, boolean unknown) {
        try {
            var message = new ByteArrayOutputStream();
            message.write(entry[0]);
            var out = CodedOutputStream.newInstance(message);
            copyFields(CodedInputStream.newInstance(entry, 1, entry.length - 5), out, left, unknown);
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

    private static void copyFields(CodedInputStream in, CodedOutputStream out, Set<Integer> left, boolean unknown)
            throws IOException {
        if (unknown) {
            writeUnknownFields(out);
        }
        for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
            int number = WireFormat.getTagFieldNumber(tag);
            if (left.contains(number)) {
                in.skipField(tag);
            } else if (unknown && number == EntryWriter.TERMS) {
                var nested = new ByteArrayOutputStream();
                var terms = CodedOutputStream.newInstance(nested);
                copyFields(CodedInputStream.newInstance(in.readByteArray()), terms, left, true);
                terms.flush();
                out.writeByteArray(number, nested.toByteArray());
            } else if (WireFormat.getTagWireType(tag) == WireFormat.WIRETYPE_VARINT) {
                out.writeUInt64(number, in.readUInt64());
            } else {
                out.writeByteArray(number, in.readByteArray());
            }
        }
        if (unknown) {
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
