package dev.corral.coalesce;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import reactor.core.Disposable;

import static org.assertj.core.api.Assertions.assertThat;

/** Bytes are never promised twice, and never lost. */
class ByteBudgetTest {

    private final ByteBudget budget = new ByteBudget(100);
    private final List<ByteBudget.Permit> granted = new ArrayList<>();

    private Disposable take(long bytes) {
        return budget.take(bytes).subscribe(granted::add);
    }

    @Test
    void whatFitsIsThereAtOnceAndTheRestInTurn() {
        take(60);
        take(50);
        take(10);
        assertThat(granted).as("the small one does not overtake").hasSize(1);
        assertThat(budget.tryTake(1)).as("nor does who does not wait").isFalse();

        granted.getFirst().close();

        assertThat(granted).hasSize(3);
        assertThat(budget.used()).isEqualTo(60);
        granted.forEach(ByteBudget.Permit::close);
        granted.forEach(ByteBudget.Permit::close);
        assertThat(budget.used()).isZero();
    }

    @Test
    void whoLeavesTakesNothingAndHoldsUpNobody() {
        take(100);
        Disposable left = take(100);
        take(30);
        left.dispose();

        granted.getFirst().close();

        assertThat(granted).hasSize(2);
        assertThat(budget.used()).isEqualTo(30);
    }

    @Test
    void whatIsLargerThanAllIsAdmittedAlone() {
        assertThat(budget.tryTake(1_000)).isTrue();
        assertThat(budget.tryTake(1)).isFalse();
        budget.release(1_000);
        take(1);
        take(1_000);
        assertThat(granted).hasSize(1);
        granted.getFirst().close();
        assertThat(granted).hasSize(2);
    }
}
