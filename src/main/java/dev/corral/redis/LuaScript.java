package dev.corral.redis;

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
public record LuaScript(String source, String sha1) {

    public static LuaScript of(String text) {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-1").digest(text.getBytes(StandardCharsets.UTF_8));
            return new LuaScript(text, HexFormat.of().formatHex(digest));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-1", e);
        }
    }

    public <T> Mono<T> run(RedisClusterAsyncCommands<String, byte[]> redis, ScriptOutputType type, List<String> keys,
            byte[]... arguments) {
        String[] names = keys.toArray(String[]::new);
        Mono<T> whole = Mono.fromCompletionStage(() -> redis.<T>eval(source, type, names, arguments));
        return Mono.fromCompletionStage(() -> redis.<T>evalsha(sha1, type, names, arguments))
                .onErrorResume(RedisNoScriptException.class, forgotten -> whole);
    }

    public static byte[] utf8Bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    public static byte[] utf8Bytes(long number) {
        return utf8Bytes(Long.toString(number));
    }

    public static String utf8Text(Object bytes) {
        return new String((byte[]) bytes, StandardCharsets.UTF_8);
    }
}
