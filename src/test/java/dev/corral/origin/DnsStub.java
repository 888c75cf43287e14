package dev.corral.origin;

import io.netty.resolver.dns.DnsServerAddressStreamProvider;
import io.netty.resolver.dns.SingletonDnsServerAddressStreamProvider;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/** A DNS server on UDP with the addresses that a test sets. */
final class DnsStub implements AutoCloseable {

    private static final int A = 1;
    private static final int AAAA = 28;
    private static final int NXDOMAIN = 3;

    private final DatagramSocket socket;
    private final int ttlSeconds;
    private final Map<String, List<InetAddress>> addressesByName = new ConcurrentHashMap<>();
    private final AtomicInteger queryCount = new AtomicInteger();
    private volatile boolean silent;

    DnsStub(int ttlSeconds) throws IOException {
        this.ttlSeconds = ttlSeconds;
        socket = new DatagramSocket(0, InetAddress.getLoopbackAddress());
        Thread.ofVirtual().start(this::serve);
    }

    DnsServerAddressStreamProvider addressStreamProvider() {
        return new SingletonDnsServerAddressStreamProvider((InetSocketAddress) socket.getLocalSocketAddress());
    }

    DnsStub register(String name, InetAddress... addresses) {
        addressesByName.put(name, List.of(addresses));
        return this;
    }

    /** Stops replying. */
    void stopReplying() {
        silent = true;
    }

    int queryCount() {
        return queryCount.get();
    }

    private void serve() {
        byte[] buffer = new byte[512];
        try {
            while (true) {
                var packet = new DatagramPacket(buffer, buffer.length);
                socket.receive(packet);
                queryCount.incrementAndGet();
                if (!silent) {
                    byte[] reply = reply(Arrays.copyOf(buffer, packet.getLength()));
                    socket.send(new DatagramPacket(reply, reply.length, packet.getSocketAddress()));
                }
            }
        } catch (IOException closed) {
            // The test has ended.
        }
    }

    private byte[] reply(byte[] query) throws IOException {
        var name = new StringBuilder();
        int at = 12;
        while (query[at] != 0) {
            name.append(new String(query, at + 1, query[at], StandardCharsets.US_ASCII)).append('.');
            at += query[at] + 1;
        }
        int type = query[at + 2];
        String host = name.substring(0, name.length() - 1).toLowerCase(Locale.ROOT);
        List<InetAddress> found = addressesByName.getOrDefault(host, List.of())
                .stream()
                .filter(address -> address.getAddress().length == (type == A ? 4 : 16))
                .filter(address -> type == A || type == AAAA)
                .toList();
        var bytes = new ByteArrayOutputStream();
        var out = new DataOutputStream(bytes);
        out.write(query, 0, 2);
        out.writeShort(0x8180 | (addressesByName.containsKey(host) ? 0 : NXDOMAIN));
        out.writeShort(1);
        out.writeShort(found.size());
        out.writeInt(0);
        out.write(query, 12, at + 5 - 12);
        for (InetAddress address : found) {
            out.writeShort(0xc00c);
            out.writeShort(type);
            out.writeShort(1);
            out.writeInt(ttlSeconds);
            out.writeShort(address.getAddress().length);
            out.write(address.getAddress());
        }
        return bytes.toByteArray();
    }

    @Override
    public void close() {
        socket.close();
    }
}
