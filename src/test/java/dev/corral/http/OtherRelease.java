package dev.corral.http;

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
public final class OtherRelease {

    private static final int UNKNOWN = 900;

    private OtherRelease() {}

    /** With unknown fields of every wire type, at the start, in the terms and at the end. */
    public static byte[] newer(byte[] entry) {
        return rewritten(entry, Set.of(), true);
    }

    /** Without the fields of these numbers. */
    public static byte[] without(byte[] entry, Set<Integer> numbers) {
        return rewritten(entry, numbers, false);
    }

    /** Without anything that came to the format after its first release, or may be absent. */
    public static byte[] older(byte[] entry) {
        return without(entry, Set.of(EntryWriter.TRACE, EntryWriter.EARLIER_VARY, EntryWriter.RETRY_AFTER));
    }

    private static byte[] rewritten(byte[] entry, Set<Integer> left, boolean unknown) {
        try {
            var message = new ByteArrayOutputStream();
            message.write(entry[0]);
            var out = CodedOutputStream.newInstance(message);
            fields(CodedInputStream.newInstance(entry, 1, entry.length - 5), out, left, unknown);
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

    private static void fields(CodedInputStream in, CodedOutputStream out, Set<Integer> left, boolean unknown)
            throws IOException {
        if (unknown) {
            unknown(out);
        }
        for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
            int number = WireFormat.getTagFieldNumber(tag);
            if (left.contains(number)) {
                in.skipField(tag);
            } else if (unknown && number == EntryWriter.TERMS) {
                var nested = new ByteArrayOutputStream();
                var terms = CodedOutputStream.newInstance(nested);
                fields(CodedInputStream.newInstance(in.readByteArray()), terms, left, true);
                terms.flush();
                out.writeByteArray(number, nested.toByteArray());
            } else if (WireFormat.getTagWireType(tag) == WireFormat.WIRETYPE_VARINT) {
                out.writeUInt64(number, in.readUInt64());
            } else {
                out.writeByteArray(number, in.readByteArray());
            }
        }
        if (unknown) {
            unknown(out);
        }
    }

    private static void unknown(CodedOutputStream out) throws IOException {
        out.writeUInt64(UNKNOWN, Long.MAX_VALUE);
        out.writeFixed32(UNKNOWN + 1, 1);
        out.writeFixed64(UNKNOWN + 2, 1);
        out.writeByteArray(UNKNOWN + 3, new byte[300]);
    }
}
