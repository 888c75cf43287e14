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

/**
 * A Lua script that is called by its digest. Redis loses its scripts at a restart or failover; then the source is sent again.
 *
 * @param source the text of the script
 * @param sha1   its SHA-1 digest, in hex
 */
public record LuaScript(String source, String sha1) {

    /** The script with this source. */
    public static LuaScript of(String source) {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-1").digest(source.getBytes(StandardCharsets.UTF_8));
            return new LuaScript(source, HexFormat.of().formatHex(digest));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-1", e);
        }
    }

    /**
     * Runs the script on each subscription. Errors with the errors of Lettuce.
     *
     * @param type how to read the reply
     * @param keys the KEYS of the script, all in one slot
     */
    public <T> Mono<T> run(RedisClusterAsyncCommands<String, byte[]> redis, ScriptOutputType type, List<String> keys,
            byte[]... arguments) {
        String[] keyArray = keys.toArray(String[]::new);
        Mono<T> withSource = Mono.fromCompletionStage(() -> redis.<T>eval(source, type, keyArray, arguments));
        return Mono.fromCompletionStage(() -> redis.<T>evalsha(sha1, type, keyArray, arguments))
                .onErrorResume(RedisNoScriptException.class, e -> withSource);
    }

    /** The text as an argument of a script. */
    public static byte[] utf8Bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** The number, in decimal, as an argument of a script. */
    public static byte[] utf8Bytes(long number) {
        return utf8Bytes(Long.toString(number));
    }

    /** A bulk string of a reply, a {@code byte[]}, as text. */
    public static String utf8Text(Object bytes) {
        return new String((byte[]) bytes, StandardCharsets.UTF_8);
    }
}
