package dev.corral.memory;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import reactor.core.Disposable;

import static org.assertj.core.api.Assertions.assertThat;

/** Bytes are never granted twice and never lost. */
class ByteBudgetTest {

    private final ByteBudget budget = new ByteBudget(100);
    private final List<ByteBudget.Reservation> granted = new ArrayList<>();

    private Disposable reserve(long bytes) {
        return budget.reserve(bytes).subscribe(granted::add);
    }

    @Test
    void fittingReservationIsGrantedAtOnceAndOthersInOrder() {
        reserve(60);
        reserve(50);
        reserve(10);
        assertThat(granted).as("a small reservation does not overtake").hasSize(1);
        assertThat(budget.tryReserve(1)).as("an immediate reservation does not overtake either").isFalse();

        granted.getFirst().close();

        assertThat(granted).hasSize(3);
        assertThat(budget.usedBytes()).isEqualTo(60);
        granted.forEach(ByteBudget.Reservation::close);
        granted.forEach(ByteBudget.Reservation::close);
        assertThat(budget.usedBytes()).isZero();
    }

    @Test
    void cancelledReservationTakesNothingAndBlocksNobody() {
        reserve(100);
        Disposable cancelled = reserve(100);
        reserve(30);
        cancelled.dispose();

        granted.getFirst().close();

        assertThat(granted).hasSize(2);
        assertThat(budget.usedBytes()).isEqualTo(30);
    }

    @Test
    void reservationLargerThanTheBudgetIsAdmittedAlone() {
        assertThat(budget.tryReserve(1_000)).isTrue();
        assertThat(budget.tryReserve(1)).isFalse();
        budget.release(1_000);
        reserve(1);
        reserve(1_000);
        assertThat(granted).hasSize(1);
        granted.getFirst().close();
        assertThat(granted).hasSize(2);
    }
}
