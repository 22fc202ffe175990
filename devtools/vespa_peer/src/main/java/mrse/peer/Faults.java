package mrse.peer;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * What goes wrong, on a node or in feeding, until it is cleared.
 *
 * <pre>
 * node:  down · slow (ms) · soft-timeout (share searched) · ann-timeout · match-phase (share searched)
 *        · error (message) · slow-summaries (ms) · no-summaries
 * feed:  overload (429) · full (507) · slow (ms) · error (500) · timeout (504), each for `share` of the operations
 * </pre>
 */
final class Faults {

    static final Faults INSTANCE = new Faults();

    /** {@code amount} is milliseconds or a share, by kind. */
    record Fault(double amount, String message) {}

    private final Map<String, Fault> faults = new ConcurrentHashMap<>();

    void set(String place, String kind, Fault fault) {
        faults.put(place + "/" + kind, fault);
    }

    void clear() {
        faults.clear();
    }

    Fault of(int node, String kind) {
        Fault fault = faults.get("node" + node + "/" + kind);
        return fault == null ? faults.get("nodes/" + kind) : fault;
    }

    Fault feed(String kind) {
        return faults.get("feed/" + kind);
    }

    /** Sleeps for the fault's milliseconds, if it is set. */
    void sleep(Fault fault) {
        if (fault == null) {
            return;
        }
        try {
            Thread.sleep((long) fault.amount());
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
    }
}
