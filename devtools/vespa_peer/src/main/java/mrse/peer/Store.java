package mrse.peer;

import com.yahoo.document.DocumentId;
import com.yahoo.document.GlobalId;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/** All documents of the cluster, by type. Content nodes see the part that is theirs. */
final class Store {

    /** One store a process: Vespa's container makes its document access by itself, and finds it here. */
    static final Store INSTANCE = new Store();

    private record Snapshot(long change, Row[] rows) {}

    private static final class Type {
        final Map<GlobalId, Row> rows = new ConcurrentHashMap<>();
        final AtomicLong changes = new AtomicLong();
        volatile Snapshot snapshot = new Snapshot(-1, new Row[0]);
    }

    private final Map<String, Type> types = new ConcurrentHashMap<>();

    Row get(DocumentId id) {
        Type type = types.get(id.getDocType());
        return type == null ? null : type.rows.get(new GlobalId(id.getGlobalId()));
    }

    /** A document by the id that search results carry, or null. */
    Row get(String documentType, GlobalId gid) {
        Type type = types.get(documentType);
        return type == null ? null : type.rows.get(gid);
    }

    void put(Row row) {
        Type type = types.computeIfAbsent(row.type(), name -> new Type());
        type.rows.put(row.gid, row);
        type.changes.incrementAndGet();
    }

    boolean remove(DocumentId id) {
        Type type = types.get(id.getDocType());
        if (type == null || type.rows.remove(new GlobalId(id.getGlobalId())) == null) {
            return false;
        }
        type.changes.incrementAndGet();
        return true;
    }

    Set<String> types() {
        return types.keySet();
    }

    void drop(String documentType) {
        types.remove(documentType);
    }

    /** The documents of a type, as of some moment during the call. */
    Row[] rows(String documentType) {
        Type type = types.get(documentType);
        if (type == null) {
            return new Row[0];
        }
        long change = type.changes.get();
        Snapshot snapshot = type.snapshot;
        if (snapshot.change() != change) {
            snapshot = new Snapshot(change, type.rows.values().toArray(Row[]::new));
            type.snapshot = snapshot;
        }
        return snapshot.rows();
    }
}
