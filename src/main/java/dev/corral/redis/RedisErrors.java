package dev.corral.redis;

import dev.corral.coalesce.TierUnavailableException;
import io.lettuce.core.RedisCommandExecutionException;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.TimeoutException;

/**
 * Classifies the errors of Redis commands, from Lettuce and from Redisson. Stateless.
 *
 * <p>Every error has a kind: there is a default, so that no error of Redis becomes an error of a request.
 */
final class RedisErrors {

    /** What an error means for the command and for the server. */
    enum ErrorKind {
        /**
         * The command may be sent again: its connection was lost, it timed out, or the server was busy. Does not mean that
         * Redis is unavailable.
         */
        RETRYABLE,
        /** The server responds and refuses every command: it is loading its data, refuses the login, or its slot is down. */
        UNAVAILABLE,
        /** The server accepts reads and refuses writes. */
        READ_ONLY,
        /** This command failed and will fail again. */
        COMMAND_REFUSED
    }

    private static final List<String> UNAVAILABLE_CODES = List.of("LOADING", "NOAUTH", "WRONGPASS", "CLUSTERDOWN",
            "MASTERDOWN", "MAXCLIENTS");
    private static final List<String> READ_ONLY_CODES = List.of("READONLY", "NOREPLICAS", "OOM", "MISCONF", "NOPERM");
    private static final List<String> RETRYABLE_CODES = List.of("BUSY", "TRYAGAIN", "MOVED", "ASK", "NOSCRIPT",
            "UNBLOCKED");

    private RedisErrors() {}

    /** The kind of a command's error. */
    static ErrorKind kindOf(Throwable error) {
        return errorCode(error).map(RedisErrors::kindOf).orElse(ErrorKind.RETRYABLE);
    }

    private static ErrorKind kindOf(String code) {
        if (UNAVAILABLE_CODES.contains(code)) {
            return ErrorKind.UNAVAILABLE;
        }
        if (READ_ONLY_CODES.contains(code)) {
            return ErrorKind.READ_ONLY;
        }
        return RETRYABLE_CODES.contains(code) ? ErrorKind.RETRYABLE : ErrorKind.COMMAND_REFUSED;
    }

    /**
     * The code of the server's error reply, its first word; empty when the server sent none: the connection failed, or the
     * reply timed out.
     */
    private static Optional<String> errorCode(Throwable error) {
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            Optional<String> code = redissonErrorCode(cause);
            if (code.isPresent()) {
                return code;
            }
            if (cause instanceof RedisCommandExecutionException || isGenericRedissonError(cause)) {
                return Optional.of(parseErrorCode(String.valueOf(cause.getMessage())));
            }
        }
        return Optional.empty();
    }

    /** The code of an error for which Redisson has a class; empty otherwise. */
    private static Optional<String> redissonErrorCode(Throwable error) {
        return switch (error) {
            case org.redisson.client.RedisOutOfMemoryException e -> Optional.of("OOM");
            case org.redisson.client.RedisReadonlyException e -> Optional.of("READONLY");
            case org.redisson.client.RedisNoReplicasException e -> Optional.of("NOREPLICAS");
            case org.redisson.client.RedisLoadingException e -> Optional.of("LOADING");
            case org.redisson.client.RedisMasterDownException e -> Optional.of("MASTERDOWN");
            case org.redisson.client.RedisClusterDownException e -> Optional.of("CLUSTERDOWN");
            case org.redisson.client.RedisAuthRequiredException e -> Optional.of("NOAUTH");
            case org.redisson.client.RedisWrongPasswordException e -> Optional.of("WRONGPASS");
            case org.redisson.client.RedisBusyException e -> Optional.of("BUSY");
            case org.redisson.client.RedisTryAgainException e -> Optional.of("TRYAGAIN");
            case org.redisson.client.RedisRedirectException e -> Optional.of("MOVED");
            default -> Optional.empty();
        };
    }

    /** Whether this is Redisson's class for the other error replies. */
    private static boolean isGenericRedissonError(Throwable error) {
        return error.getClass() == org.redisson.client.RedisException.class && error.getCause() == null;
    }

    private static String parseErrorCode(String message) {
        String text = message.startsWith("-") ? message.substring(1) : message;
        if (text.contains("max number of clients reached")) {
            return "MAXCLIENTS";
        }
        // Redisson adds text before some replies, and Redis adds the line of a script: the code is the first word in capitals.
        for (String word : text.split("[^A-Za-z]+", 16)) {
            if (word.length() > 2 && word.equals(word.toUpperCase(Locale.ROOT)) && !word.equals("ERR")) {
                return word;
            }
        }
        return "ERR";
    }

    /** The error as the exception that the coalescer handles, with the reason in words. */
    static TierUnavailableException toUnavailable(Throwable error) {
        return error instanceof TierUnavailableException unavailable
                ? unavailable
                : new TierUnavailableException("Redis: " + describe(error), error);
    }

    /** The root cause in words, for operators: one line, without a stack trace or the advice that the clients append. */
    static String describe(Throwable error) {
        Throwable root = error;
        while (root.getCause() != null) {
            root = root.getCause();
        }
        if (root instanceof TimeoutException) {
            return "no response in time";
        }
        String message = root.getMessage() == null ? root.getClass().getSimpleName() : root.getMessage();
        int end = message.indexOf(". ");
        String line = (end < 0 ? message : message.substring(0, end)).lines().findFirst().orElse("");
        return line.length() > 200 ? line.substring(0, 200) : line;
    }
}
