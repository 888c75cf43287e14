package dev.corral.redis;

import dev.corral.coalesce.TierUnavailableException;
import io.lettuce.core.RedisCommandExecutionException;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.TimeoutException;

/**
 * What an error of a Redis command means, whichever client reports it. Pure.
 *
 * <p>Every error has a meaning: the last branch is the default, so that no error of Redis becomes an error of a request.
 */
final class RedisErrors {

    /** What follows from an error. */
    enum ErrorKind {
        /** The command may be sent again: its connection broke, it was late, or the server was busy. Says nothing of Redis. */
        RETRYABLE,
        /** The server responds, and refuses every command: it loads its data, refuses the login, or its slot is down. */
        UNAVAILABLE,
        /** The server reads, and refuses to write. */
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

    /** The meaning of an error of a command. */
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

    /** The first word of the server's error reply; empty when the server did not send one: the connection failed, or it was late. */
    private static Optional<String> errorCode(Throwable error) {
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            Optional<String> named = redissonErrorCode(cause);
            if (named.isPresent()) {
                return named;
            }
            if (cause instanceof RedisCommandExecutionException || isGenericRedissonError(cause)) {
                return Optional.of(parseErrorCode(String.valueOf(cause.getMessage())));
            }
        }
        return Optional.empty();
    }

    /** Redisson has a class for some error replies, and puts a text of its own before others. */
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

    /** Redisson's class for the error replies that have no class of their own. */
    private static boolean isGenericRedissonError(Throwable error) {
        return error.getClass() == org.redisson.client.RedisException.class && error.getCause() == null;
    }

    private static String parseErrorCode(String message) {
        String text = message.startsWith("-") ? message.substring(1) : message;
        if (text.contains("max number of clients reached")) {
            return "MAXCLIENTS";
        }
        // A script's error may be quoted with the script's position before it: the code is the first word in capitals.
        for (String word : text.split("[^A-Za-z]+", 16)) {
            if (word.length() > 2 && word.equals(word.toUpperCase(Locale.ROOT)) && !word.equals("ERR")) {
                return word;
            }
        }
        return "ERR";
    }

    /** The error as the coalescer knows it, with the reason in words. */
    static TierUnavailableException toUnavailable(Throwable error) {
        return error instanceof TierUnavailableException known
                ? known
                : new TierUnavailableException("Redis: " + describe(error), error);
    }

    /** The root cause in words, for operators: one line, without a stack trace or the advice that clients append. */
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
