package dev.corral.redis;

import dev.corral.coalesce.TierUnavailableException;
import dev.corral.redis.RedisErrors.ErrorKind;
import io.lettuce.core.RedisBusyException;
import io.lettuce.core.RedisCommandExecutionException;
import io.lettuce.core.RedisCommandInterruptedException;
import io.lettuce.core.RedisCommandTimeoutException;
import io.lettuce.core.RedisConnectionException;
import io.lettuce.core.RedisException;
import io.lettuce.core.RedisLoadingException;
import io.lettuce.core.RedisNoScriptException;
import io.lettuce.core.RedisReadOnlyException;
import io.lettuce.core.cluster.PartitionSelectorException;
import io.lettuce.core.cluster.UnknownPartitionException;
import io.lettuce.core.cluster.models.partitions.Partitions;
import io.netty.channel.unix.Errors.NativeIoException;
import java.io.IOException;
import java.net.ConnectException;
import java.net.UnknownHostException;
import java.nio.channels.ClosedChannelException;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.redisson.client.RedisAuthRequiredException;
import org.redisson.client.RedisClusterDownException;
import org.redisson.client.RedisMasterDownException;
import org.redisson.client.RedisMovedException;
import org.redisson.client.RedisNoReplicasException;
import org.redisson.client.RedisNodeNotFoundException;
import org.redisson.client.RedisOutOfMemoryException;
import org.redisson.client.RedisReadonlyException;
import org.redisson.client.RedisReconnectedException;
import org.redisson.client.RedisResponseTimeoutException;
import org.redisson.client.RedisTimeoutException;
import org.redisson.client.RedisTryAgainException;
import org.redisson.client.RedisWaitException;
import org.redisson.client.RedisWrongPasswordException;
import org.redisson.client.WriteRedisConnectionException;
import org.redisson.misc.RedisURI;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.params.provider.Arguments.arguments;

/** Every error of a command has a meaning, whichever client reports it. */
class RedisErrorsTest {

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            UNAVAILABLE | LOADING Redis is loading the dataset in memory
            UNAVAILABLE | NOAUTH Authentication required.
            UNAVAILABLE | WRONGPASS invalid username-password pair or user is disabled.
            UNAVAILABLE | CLUSTERDOWN Hash slot not served
            UNAVAILABLE | CLUSTERDOWN The cluster is down
            UNAVAILABLE | MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.
            READ_ONLY | READONLY You can't write against a read only replica.
            READ_ONLY | NOREPLICAS Not enough good replicas to write.
            READ_ONLY | OOM command not allowed when used memory > 'maxmemory'.
            READ_ONLY | MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.
            READ_ONLY | NOPERM User corral has no permissions to run the 'set' command
            READ_ONLY | ERR user_script:1: OOM command not allowed when used memory > 'maxmemory'. script: 3d5e, on @user_script:1.
            READ_ONLY | ERR Error running script (call to f_3d5e): @user_script:1: -READONLY You can't write against a read only replica.
            RETRYABLE | BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.
            RETRYABLE | TRYAGAIN Multiple keys request during rehashing of slot
            RETRYABLE | MOVED 3999 127.0.0.1:6381
            RETRYABLE | ASK 3999 127.0.0.1:6381
            RETRYABLE | NOSCRIPT No matching script. Please use EVAL.
            RETRYABLE | UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)
            UNAVAILABLE | ERR max number of clients reached
            COMMAND_REFUSED | ERR unknown command 'EVALSHA', with args beginning with:
            COMMAND_REFUSED | WRONGTYPE Operation against a key holding the wrong kind of value
            COMMAND_REFUSED | CROSSSLOT Keys in request don't hash to the same slot
            COMMAND_REFUSED | NEWCODE of a Redis that is not written yet
            COMMAND_REFUSED | ERR
            COMMAND_REFUSED | ''
            """)
    void errorReplyHasTheSameMeaningInBothClients(ErrorKind meaning, String reply) {
        assertThat(RedisErrors.kindOf(new RedisCommandExecutionException(reply))).isEqualTo(meaning);
        assertThat(RedisErrors
                .kindOf(new org.redisson.client.RedisException(reply + ". channel: [id: 0x1] command: (EVAL)")))
                .isEqualTo(meaning);
        assertThat(RedisErrors.kindOf(new CompletionException(new RedisCommandExecutionException(reply))))
                .isEqualTo(meaning);
        assertThat(RedisErrors.kindOf(new RedisConnectionException("Unable to connect",
                new RedisCommandExecutionException(reply)))).isEqualTo(meaning);
    }

    static Stream<Arguments> ofAClassOfItsOwn() throws Exception {
        var uri = new RedisURI("redis://127.0.0.1:6381");
        return Stream.of(
                arguments(new RedisLoadingException("LOADING Redis is loading the dataset in memory"),
                        ErrorKind.UNAVAILABLE),
                arguments(new RedisBusyException("BUSY Redis is busy running a script."), ErrorKind.RETRYABLE),
                arguments(new RedisNoScriptException("NOSCRIPT No matching script."), ErrorKind.RETRYABLE),
                arguments(new RedisReadOnlyException("READONLY You can't write"), ErrorKind.READ_ONLY),
                arguments(new RedisOutOfMemoryException("Redis out of memory"), ErrorKind.READ_ONLY),
                arguments(new RedisReadonlyException("Redis is read only"), ErrorKind.READ_ONLY),
                arguments(new RedisNoReplicasException("no replicas"), ErrorKind.READ_ONLY),
                arguments(new org.redisson.client.RedisLoadingException("loading"), ErrorKind.UNAVAILABLE),
                arguments(new RedisMasterDownException("down"), ErrorKind.UNAVAILABLE),
                arguments(new RedisClusterDownException("down"), ErrorKind.UNAVAILABLE),
                arguments(new RedisAuthRequiredException("no login"), ErrorKind.UNAVAILABLE),
                arguments(new RedisWrongPasswordException("wrong"), ErrorKind.UNAVAILABLE),
                arguments(new org.redisson.client.RedisBusyException("busy"), ErrorKind.RETRYABLE),
                arguments(new RedisTryAgainException("again"), ErrorKind.RETRYABLE),
                arguments(new org.redisson.client.RedisNoScriptException("none"), ErrorKind.RETRYABLE),
                arguments(new RedisWaitException("wait"), ErrorKind.RETRYABLE),
                arguments(new RedisMovedException(1, uri), ErrorKind.RETRYABLE));
    }

    @ParameterizedTest
    @MethodSource("ofAClassOfItsOwn")
    void dedicatedExceptionTypeDeterminesTheMeaning(Throwable error, ErrorKind meaning) {
        assertThat(RedisErrors.kindOf(error)).isEqualTo(meaning);
        assertThat(RedisErrors.kindOf(new ExecutionException(error))).isEqualTo(meaning);
    }

    static Stream<Throwable> withoutAReply() {
        return Stream.of(
                new ClosedChannelException(),
                new NativeIoException("recvAddress(..)", -104),
                new NativeIoException("writeAddress(..)", -32),
                new IOException("Connection reset by peer"),
                new ConnectException("Connection refused"),
                new UnknownHostException("redis"),
                new TimeoutException(),
                new RejectedExecutionException(),
                new IllegalStateException("a bug of a client"),
                new RedisException("Connection is closed"),
                new RedisException(new ClosedChannelException()),
                new RedisConnectionException("Unable to connect", new ConnectException("Connection refused")),
                new RedisCommandTimeoutException("Command timed out after 5 second(s)"),
                new RedisCommandInterruptedException(new InterruptedException()),
                new PartitionSelectorException("Cannot determine a partition for slot 1", new Partitions()),
                new UnknownPartitionException("Connection to it is not allowed"),
                new RedisTimeoutException("Unable to acquire connection!"),
                new RedisResponseTimeoutException("Redis server response timeout (30000 ms) occurred"),
                new org.redisson.client.RedisConnectionException("Unable to connect", new ConnectException("refused")),
                new WriteRedisConnectionException("Unable to write command into connection!"),
                new RedisReconnectedException("Connection was reconnected"),
                new RedisNodeNotFoundException("Node for slot: 1 hasn't been discovered yet"),
                new org.redisson.client.RedisException(new ClosedChannelException()));
    }

    /** The server has not said anything: the connection broke, or the command was late. */
    @ParameterizedTest
    @MethodSource("withoutAReply")
    void errorWithoutAReplyMeansTryAgain(Throwable error) {
        assertThat(RedisErrors.kindOf(error)).isEqualTo(ErrorKind.RETRYABLE);
        assertThat(RedisErrors.kindOf(new CompletionException(error))).isEqualTo(ErrorKind.RETRYABLE);
    }

    @ParameterizedTest
    @MethodSource("withoutAReply")
    void everyErrorBecomesTierUnavailableWithItsCause(Throwable error) {
        assertThat(RedisErrors.toUnavailable(error)).hasMessageStartingWith("Redis: ").hasCause(error);
        assertThat(RedisErrors.describe(error)).isNotBlank().doesNotContain("\n").hasSizeLessThanOrEqualTo(200);
    }

    @Test
    void tierUnavailableIsReturnedUnchanged() {
        var known = new TierUnavailableException("Redis is unavailable: no response for a second");

        assertThat(RedisErrors.toUnavailable(known)).isSameAs(known);
    }

    @Test
    void reasonIsTheRootCauseInOneLine() {
        assertThat(RedisErrors.describe(new RedisConnectionException("Unable to connect to redis/<unresolved>:6379",
                new CompletionException(new RedisCommandExecutionException(
                        "WRONGPASS invalid username-password pair or user is disabled.")))))
                .isEqualTo("WRONGPASS invalid username-password pair or user is disabled.");
        assertThat(RedisErrors.describe(new org.redisson.client.RedisException(
                "NOAUTH Authentication required. channel: [id: 0x1, L:/127.0.0.1] command: (EVAL), params: [a]")))
                .isEqualTo("NOAUTH Authentication required");
        assertThat(RedisErrors.describe(new ClosedChannelException())).isEqualTo("ClosedChannelException");
        assertThat(RedisErrors.describe(new CompletionException(new TimeoutException("x"))))
                .isEqualTo("no response in time");
        assertThat(RedisErrors.describe(new IOException("first\nsecond"))).isEqualTo("first");
        assertThat(RedisErrors.describe(new IOException("x".repeat(1_000)))).hasSize(200);
    }
}
