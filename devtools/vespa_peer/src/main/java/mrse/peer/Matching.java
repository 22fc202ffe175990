package mrse.peer;

import ai.vespa.searchlib.searchprotocol.protobuf.SearchProtocol.ItemNearestNeighbor;
import ai.vespa.searchlib.searchprotocol.protobuf.SearchProtocol.QueryTreeItem;
import ai.vespa.searchlib.searchprotocol.protobuf.SearchProtocol.TermItemProperties;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.DoublePredicate;
import java.util.function.Predicate;

/**
 * Walks a query tree over a node's documents.
 *
 * <p>nearestNeighbor keeps its target hits among the documents that all conditions of the query let through,
 * whatever it would bring itself, as Vespa does with filters first; and it is exact always.
 */
final class Matching {

    private final Row[] rows;
    private final Inputs inputs;
    private final Set<String> cased;
    /** Fields that are compared by angle. */
    private final Set<String> angular;
    private final List<ItemNearestNeighbor> neighbours = new ArrayList<>();
    /** The words that are asked for, by field. */
    private final Map<String, List<String>> words = new HashMap<>();
    private final Map<String, Bm25> bm25 = new HashMap<>();
    /** What each labelled nearestNeighbor found, after the conditions that stand beside it. */
    private final Map<String, Set<Row>> found = new HashMap<>();
    /** Vespa's global filter: what the query lets through if every nearestNeighbor brings everything. */
    private BitSet searched;

    Matching(Row[] rows, Inputs inputs, Schemas.Schema schema) {
        this.rows = rows;
        this.inputs = inputs;
        this.cased = schema.cased();
        this.angular = schema.angular();
    }

    /** The documents that match, as positions in the rows. */
    BitSet match(QueryTreeItem root) {
        collect(root);
        BitSet all = new BitSet(rows.length);
        all.set(0, rows.length);
        searched = null;
        searched = match(root, all);
        return match(root, all);
    }

    /** Largest closeness over the nearestNeighbor operators with this label, or on this field; 0 if none. */
    double closeness(Row row, String by, String name) {
        double best = 0;
        for (ItemNearestNeighbor each : neighbours) {
            String known = by.equals("label") ? label(each) : each.getProperties().getIndex();
            if (by.equals("label") ? name.equals(known) : (name == null ? by : name).equals(known)) {
                String field = each.getProperties().getIndex();
                best = Math.max(best, closeness(field, query(each), row.vector(field)));
            }
        }
        return best;
    }

    private double closeness(String field, float[] query, float[] stored) {
        return angular.contains(field) ? Vectors.angularCloseness(query, stored) : Vectors.closeness(query, stored);
    }

    /** BM25 of the words asked for in a field, by the statistics of this node's documents. */
    double bm25(Row row, String field) {
        return bm25.computeIfAbsent(field, name -> new Bm25(rows, name, words.getOrDefault(name, List.of()))).score(row);
    }

    /** Closeness to the labelled nearestNeighbor where that found the document, else 0. */
    double rawScore(Row row, String label) {
        return found.getOrDefault(label, Set.of()).contains(row) ? closeness(row, "label", label) : 0;
    }

    /** The label is no part of the tree that the node gets: rank properties map it to a unique id. */
    private String label(ItemNearestNeighbor item) {
        return inputs.label(item.getProperties().getUniqueId());
    }

    private float[] query(ItemNearestNeighbor item) {
        float[] vector = inputs.vector(item.getQueryTensorName());
        if (vector == null) {
            throw new IllegalArgumentException("no query tensor " + item.getQueryTensorName());
        }
        return vector;
    }

    private void collect(QueryTreeItem item) {
        if (item.hasItemNearestNeighbor()) {
            neighbours.add(item.getItemNearestNeighbor());
        }
        if (item.hasItemWordTerm()) {
            var term = item.getItemWordTerm();
            asked(term.getProperties(), term.getWord());
        }
        if (item.hasItemExactstringTerm()) {
            // What is asked of a field that is matched by whole elements.
            var term = item.getItemExactstringTerm();
            asked(term.getProperties(), term.getWord());
        }
        children(item).forEach(this::collect);
    }

    private void asked(TermItemProperties properties, String word) {
        words.computeIfAbsent(properties.getIndex(), field -> new ArrayList<>()).add(word);
    }

    private static List<QueryTreeItem> children(QueryTreeItem item) {
        return switch (item.getItemCase()) {
            case ITEM_AND -> item.getItemAnd().getChildrenList();
            case ITEM_OR -> item.getItemOr().getChildrenList();
            case ITEM_AND_NOT -> item.getItemAndNot().getChildrenList();
            case ITEM_RANK -> item.getItemRank().getChildrenList();
            case ITEM_EQUIV -> item.getItemEquiv().getChildrenList();
            case ITEM_WEAK_AND -> item.getItemWeakAnd().getChildrenList();
            default -> List.of();
        };
    }

    private static boolean isNeighbour(QueryTreeItem item) {
        return item.hasItemNearestNeighbor() || children(item).stream().anyMatch(Matching::isNeighbour);
    }

    private BitSet match(QueryTreeItem item, BitSet candidates) {
        return switch (item.getItemCase()) {
            case ITEM_TRUE -> (BitSet) candidates.clone();
            case ITEM_FALSE -> new BitSet();
            case ITEM_AND -> and(children(item), candidates);
            // Exact: every document with one of the words, not those alone that Vespa's own score is highest of.
            case ITEM_OR, ITEM_EQUIV, ITEM_WEAK_AND -> or(children(item), candidates);
            case ITEM_AND_NOT -> andNot(children(item), candidates);
            case ITEM_RANK -> match(children(item).get(0), candidates);
            case ITEM_NEAREST_NEIGHBOR -> nearest(item.getItemNearestNeighbor(), candidates);
            default -> term(item, candidates);
        };
    }

    private BitSet and(List<QueryTreeItem> items, BitSet candidates) {
        List<QueryTreeItem> filtersFirst = new ArrayList<>(items);
        filtersFirst.sort(Comparator.comparing(Matching::isNeighbour));
        BitSet left = candidates;
        for (QueryTreeItem item : filtersFirst) {
            left = match(item, left);
        }
        return left;
    }

    private BitSet or(List<QueryTreeItem> items, BitSet candidates) {
        BitSet found = new BitSet();
        items.forEach(item -> found.or(match(item, candidates)));
        return found;
    }

    private BitSet andNot(List<QueryTreeItem> items, BitSet candidates) {
        BitSet left = (BitSet) candidates.clone();
        for (QueryTreeItem item : items.subList(1, items.size())) {
            left.andNot(match(item, left));
        }
        return match(items.get(0), left);
    }

    private BitSet nearest(ItemNearestNeighbor item, BitSet candidates) {
        if (searched == null) {
            return (BitSet) candidates.clone();
        }
        float[] query = query(item);
        String field = item.getProperties().getIndex();
        record Near(int position, double closeness) {}
        List<Near> near = new ArrayList<>();
        for (int i = searched.nextSetBit(0); i >= 0; i = searched.nextSetBit(i + 1)) {
            float[] stored = rows[i].vector(field);
            if (stored != null) {
                double closeness = closeness(field, query, stored);
                if (1 / closeness - 1 <= item.getDistanceThreshold()) {
                    near.add(new Near(i, closeness));
                }
            }
        }
        near.sort(Comparator.comparingDouble(Near::closeness).reversed().thenComparingInt(Near::position));
        BitSet nearest = new BitSet();
        near.stream().limit(item.getTargetNumHits()).forEach(each -> nearest.set(each.position()));
        nearest.and(candidates);
        String label = label(item);
        if (label != null) {
            Set<Row> labelled = found.computeIfAbsent(label, name -> new HashSet<>());
            nearest.stream().forEach(position -> labelled.add(rows[position]));
        }
        return nearest;
    }

    private BitSet term(QueryTreeItem item, BitSet candidates) {
        return switch (item.getItemCase()) {
            case ITEM_WORD_TERM -> word(item.getItemWordTerm().getProperties(), List.of(item.getItemWordTerm().getWord()), candidates);
            case ITEM_EXACTSTRING_TERM -> word(
                item.getItemExactstringTerm().getProperties(), List.of(item.getItemExactstringTerm().getWord()), candidates);
            case ITEM_STRING_IN -> word(item.getItemStringIn().getProperties(), item.getItemStringIn().getWordsList(), candidates);
            case ITEM_WEIGHTED_SET_OF_STRING -> word(
                item.getItemWeightedSetOfString().getProperties(),
                item.getItemWeightedSetOfString().getWeightedStringsList().stream().map(each -> each.getValue()).toList(),
                candidates);
            case ITEM_NUMERIC_IN -> numeric(item, candidates);
            case ITEM_INTEGER_TERM -> {
                var term = item.getItemIntegerTerm();
                yield number(term.getProperties(), value -> value == term.getNumber(), candidates);
            }
            case ITEM_FLOATING_POINT_TERM -> {
                var term = item.getItemFloatingPointTerm();
                yield number(term.getProperties(), value -> value == term.getNumber(), candidates);
            }
            case ITEM_INTEGER_RANGE_TERM -> {
                var range = item.getItemIntegerRangeTerm();
                yield number(range.getProperties(), within(range.getLowerLimit(), range.getLowerInclusive(),
                    range.getUpperLimit(), range.getUpperInclusive()), candidates);
            }
            case ITEM_FLOATING_POINT_RANGE_TERM -> {
                var range = item.getItemFloatingPointRangeTerm();
                yield number(range.getProperties(), within(range.getLowerLimit(), range.getLowerInclusive(),
                    range.getUpperLimit(), range.getUpperInclusive()), candidates);
            }
            default -> throw new IllegalArgumentException("the peer has no " + item.getItemCase());
        };
    }

    private BitSet numeric(QueryTreeItem item, BitSet candidates) {
        Set<Long> numbers = new HashSet<>(item.getItemNumericIn().getNumbersList());
        return number(item.getItemNumericIn().getProperties(),
            value -> value == Math.rint(value) && numbers.contains((long) value), candidates);
    }

    private static DoublePredicate within(double low, boolean lowIn, double high, boolean highIn) {
        return value -> (lowIn ? value >= low : value > low) && (highIn ? value <= high : value < high);
    }

    private BitSet word(TermItemProperties properties, List<String> words, BitSet candidates) {
        boolean folds = !cased.contains(properties.getIndex());
        Set<String> wanted = new HashSet<>();
        words.forEach(word -> wanted.add(folds ? word.toLowerCase(Locale.ROOT) : word));
        return where(properties.getIndex(), candidates, value -> {
            if (value instanceof String text) {
                return wanted.contains(folds ? text.toLowerCase(Locale.ROOT) : text);
            }
            return wanted.contains(value.toString());
        });
    }

    private BitSet number(TermItemProperties properties, DoublePredicate wanted, BitSet candidates) {
        return where(properties.getIndex(), candidates, value -> {
            if (value instanceof Boolean flag) {
                return wanted.test(flag ? 1 : 0);
            }
            return value instanceof Number number && wanted.test(number.doubleValue());
        });
    }

    private BitSet where(String field, BitSet candidates, Predicate<Object> wanted) {
        BitSet found = new BitSet();
        boolean falsy = wanted.test(false);
        for (int i = candidates.nextSetBit(0); i >= 0; i = candidates.nextSetBit(i + 1)) {
            Object value = rows[i].value(field);
            boolean holds;
            if (value == null) {
                // A bool attribute that no document set reads false; other types have no value to match.
                holds = falsy && isBool(rows[i], field);
            } else if (value instanceof List<?> elements) {
                holds = elements.stream().anyMatch(wanted);
            } else {
                holds = wanted.test(value);
            }
            found.set(i, holds);
        }
        return found;
    }

    private static boolean isBool(Row row, String field) {
        var known = row.document.getDataType().getField(field);
        return known != null && known.getDataType() == com.yahoo.document.DataType.BOOL;
    }
}
