package dev.corral.dev;

import java.util.ArrayList;
import java.util.List;

/** What must be true of the scenarios, and the faults found. */
final class StampedeVerdict {

    static final String DIRECT = "direct";
    static final String OFF = "off";
    static final String ON = "on";
    static final String MANY = "many";
    static final String PRIVATE_FIRST = "private-first";
    static final String PRIVATE_AGAIN = "private-again";
    static final String HITS_ALONE = "hits-alone";
    static final String HITS_BESIDE = "hits-beside";

    private StampedeVerdict() {}

    /** One sentence a fault; none when all is as promised. Coalescing off and no cache are shown, not judged. */
    static List<String> faults(List<StampedeScenario> scenarios) {
        var faults = new ArrayList<String>();
        for (StampedeScenario scenario : scenarios) {
            for (int i = 0; i < scenario.rounds().size(); i++) {
                String where = scenario.name() + ", round " + (i + 1) + ": ";
                faultsOf(scenario.id(), scenario.rounds().get(i)).forEach(fault -> faults.add(where + fault));
            }
        }
        return faults;
    }

    private static List<String> faultsOf(String id, StampedeRound round) {
        return switch (id) {
            case ON, MANY -> shared(round);
            case PRIVATE_FIRST, PRIVATE_AGAIN -> unshared(round);
            case HITS_ALONE, HITS_BESIDE -> notOk(round);
            default -> List.of();
        };
    }

    private static List<String> shared(StampedeRound round) {
        var faults = new ArrayList<>(notOk(round));
        if (round.originRequests() != round.keys()) {
            faults.add(round.originRequests() + " origin requests for " + keys(round));
        }
        if (round.bodies() != round.keys()) {
            faults.add(round.bodies() + " different bodies for " + keys(round));
        }
        return faults;
    }

    private static List<String> unshared(StampedeRound round) {
        var faults = new ArrayList<>(notOk(round));
        if (round.bodies() != round.clients()) {
            faults.add("only " + round.bodies() + " different private bodies for " + round.clients() + " clients");
        }
        return faults;
    }

    private static String keys(StampedeRound round) {
        return round.keys() == 1 ? "one key" : round.keys() + " keys";
    }

    private static List<String> notOk(StampedeRound round) {
        return round.allOk() ? List.of() : List.of("statuses " + round.statusLine());
    }
}
