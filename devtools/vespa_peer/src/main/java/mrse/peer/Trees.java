package mrse.peer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.yahoo.prelude.query.BoolItem;
import com.yahoo.prelude.query.CompositeItem;
import com.yahoo.prelude.query.IntItem;
import com.yahoo.prelude.query.Item;
import com.yahoo.prelude.query.NearestNeighborItem;
import com.yahoo.prelude.query.NumericInItem;
import com.yahoo.prelude.query.StringInItem;
import com.yahoo.prelude.query.TermItem;
import com.yahoo.prelude.query.TrueItem;
import com.yahoo.prelude.query.WeakAndItem;

/**
 * A parsed query tree as lists.
 *
 * <pre>
 * ["AND", child, …]   ["OR", …]   ["NOT", positive, negative, …]   ["TRUE"]
 * ["=", field, "true" | word]   ["number", field, "[1.0;2.0>"]   ["in", field, sorted word, …]
 * ["weakAnd", targetHits, child, …]
 * ["nearestNeighbor", field, tensor, {"label": …, "targetHits": …, "totalTargetHits": …, "approximate": …, …}]
 * </pre>
 */
final class Trees {

    private Trees() {}

    static JsonNode json(Item item) {
        ArrayNode node = Judge.JSON.createArrayNode();
        if (item instanceof NearestNeighborItem nearest) {
            return node.add("nearestNeighbor").add(nearest.getIndexName()).add(nearest.getQueryTensorName())
                .add(annotations(nearest));
        }
        if (item instanceof CompositeItem composite) {
            if (composite instanceof WeakAndItem weakAnd) {
                node.add("weakAnd").add(weakAnd.getTargetHits());
            } else {
                node.add(composite.getName());
            }
            composite.items().forEach(child -> node.add(json(child)));
            return node;
        }
        if (item instanceof StringInItem in) {
            node.add("in").add(in.getIndexName());
            in.getTokens().stream().sorted().forEach(node::add);
            return node;
        }
        if (item instanceof NumericInItem in) {
            node.add("in").add(in.getIndexName());
            in.getTokens().stream().sorted().forEach(each -> node.add(each.toString()));
            return node;
        }
        if (item instanceof TrueItem) {
            return node.add("TRUE");
        }
        if (item instanceof IntItem number) {
            return node.add("number").add(number.getIndexName()).add(number.getNumber());
        }
        if (item instanceof BoolItem flag) {
            return node.add("=").add(flag.getIndexName()).add(flag.stringValue());
        }
        if (item instanceof TermItem term) {
            return node.add("=").add(term.getIndexName()).add(term.getIndexedString());
        }
        return node.add(item.getName()).add(item.toString());
    }

    private static ObjectNode annotations(NearestNeighborItem item) {
        ObjectNode node = Judge.JSON.createObjectNode();
        node.put("approximate", item.getAllowApproximate());
        put(node, "label", item.getLabel());
        put(node, "targetHits", item.getTargetHits());
        put(node, "totalTargetHits", item.getTotalTargetHits());
        if (item.getHnswExploreAdditionalHits() > 0) {
            node.put("hnsw.exploreAdditionalHits", item.getHnswExploreAdditionalHits());
        }
        if (item.getDistanceThreshold() < Double.POSITIVE_INFINITY) {
            node.put("distanceThreshold", item.getDistanceThreshold());
        }
        return node;
    }

    private static void put(ObjectNode node, String name, Object value) {
        if (value != null) {
            node.set(name, Judge.JSON.valueToTree(value));
        }
    }
}
