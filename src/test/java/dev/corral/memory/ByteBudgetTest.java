package dev.corral.memory;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import reactor.core.Disposable;

import static org.assertj.core.api.Assertions.assertThat;

/** Bytes are never promised twice, and never lost. */
class ByteBudgetTest {

    private final ByteBudget budget = new ByteBudget(100);
    private final List<ByteBudget.Reservation> granted = new ArrayList<>();

    private Disposable take(long bytes) {
        return budget.reserve(bytes).subscribe(granted::add);
    }

    @Test
    void fittingReservationIsGrantedAtOnceAndOthersInOrder() {
        take(60);
        take(50);
        take(10);
        assertThat(granted).as("the small one does not overtake").hasSize(1);
        assertThat(budget.tryReserve(1)).as("nor does who does not wait").isFalse();

        granted.getFirst().close();

        assertThat(granted).hasSize(3);
        assertThat(budget.usedBytes()).isEqualTo(60);
        granted.forEach(ByteBudget.Reservation::close);
        granted.forEach(ByteBudget.Reservation::close);
        assertThat(budget.usedBytes()).isZero();
    }

    @Test
    void cancelledReservationTakesNothingAndBlocksNobody() {
        take(100);
        Disposable left = take(100);
        take(30);
        left.dispose();

        granted.getFirst().close();

        assertThat(granted).hasSize(2);
        assertThat(budget.usedBytes()).isEqualTo(30);
    }

    @Test
    void reservationLargerThanTheBudgetIsAdmittedAlone() {
        assertThat(budget.tryReserve(1_000)).isTrue();
        assertThat(budget.tryReserve(1)).isFalse();
        budget.release(1_000);
        take(1);
        take(1_000);
        assertThat(granted).hasSize(1);
        granted.getFirst().close();
        assertThat(granted).hasSize(2);
    }
}
