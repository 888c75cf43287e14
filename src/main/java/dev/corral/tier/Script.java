package dev.corral.tier;

import io.lettuce.core.RedisNoScriptException;
import io.lettuce.core.ScriptOutputType;
import io.lettuce.core.cluster.api.async.RedisClusterAsyncCommands;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import reactor.core.publisher.Mono;

/** A Lua script, called by its digest. Redis forgets scripts when it restarts or fails over; then the text is sent again. */
record Script(String text, String digest) {

    static Script of(String text) {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-1").digest(text.getBytes(StandardCharsets.UTF_8));
            return new Script(text, HexFormat.of().formatHex(digest));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-1", e);
        }
    }

    <T> Mono<T> run(RedisClusterAsyncCommands<String, byte[]> redis, ScriptOutputType type, List<String> keys,
            byte[]... arguments) {
        String[] names = keys.toArray(String[]::new);
        Mono<T> whole = Mono.fromCompletionStage(() -> redis.<T>eval(text, type, names, arguments));
        return Mono.fromCompletionStage(() -> redis.<T>evalsha(digest, type, names, arguments))
                .onErrorResume(RedisNoScriptException.class, forgotten -> whole);
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static byte[] bytes(long number) {
        return bytes(Long.toString(number));
    }

    static String text(Object bytes) {
        return new String((byte[]) bytes, StandardCharsets.UTF_8);
    }
}
