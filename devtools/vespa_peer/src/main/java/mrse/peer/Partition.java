package mrse.peer;

import java.util.Arrays;

/** The share of every type's documents that a node holds: those whose id falls into its slot. */
record Partition(int slot, int slots) {

    Row[] rows(String documentType) {
        Row[] all = Store.INSTANCE.rows(documentType);
        return slots == 1 ? all : Arrays.stream(all).filter(this::holds).toArray(Row[]::new);
    }

    long count() {
        return Store.INSTANCE.types().stream().mapToLong(type -> rows(type).length).sum();
    }

    private boolean holds(Row row) {
        return Math.floorMod(row.gid.hashCode(), slots) == slot;
    }
}
