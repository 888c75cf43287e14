package dev.corral;

import dev.corral.ops.Board;
import dev.corral.tier.RedisFleet;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import reactor.core.publisher.Mono;

/** The fleet's record in Redis, as the board needs it. */
record FleetRecord(RedisFleet fleet) implements Board.Fleet {

    @Override
    public boolean wantsPoint(Instant now) {
        return fleet.wantsPoint(now);
    }

    @Override
    public Mono<Optional<String>> beat(String status, Optional<String> point, Instant now) {
        return point.map(some -> fleet.beat(status, some, now)).orElseGet(() -> fleet.beat(status));
    }

    @Override
    public Mono<List<Board.Member>> members() {
        return fleet.members().map(FleetRecord::members);
    }

    @Override
    public Mono<List<Board.Past>> history(Instant now) {
        return fleet.history(now)
                .map(steps -> steps.stream()
                        .map(past -> new Board.Past(past.time(), members(past.members())))
                        .toList());
    }

    @Override
    public Mono<Void> leave() {
        return fleet.leave();
    }

    private static List<Board.Member> members(List<RedisFleet.Member> members) {
        return members.stream()
                .map(member -> new Board.Member(member.id(), member.seen(), member.live(), member.status()))
                .toList();
    }
}
