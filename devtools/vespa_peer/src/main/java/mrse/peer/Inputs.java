package mrse.peer;

import ai.vespa.searchlib.searchprotocol.protobuf.SearchProtocol.StringProperty;
import ai.vespa.searchlib.searchprotocol.protobuf.SearchProtocol.TensorProperty;
import com.yahoo.io.GrowableByteBuffer;
import com.yahoo.searchlib.rankingexpression.evaluation.DoubleValue;
import com.yahoo.searchlib.rankingexpression.evaluation.TensorValue;
import com.yahoo.searchlib.rankingexpression.evaluation.Value;
import com.yahoo.tensor.IndexedTensor;
import com.yahoo.tensor.Tensor;
import com.yahoo.tensor.serialization.TypedBinaryFormat;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The query's rank inputs, {@code query(name)}. */
final class Inputs {

    private static final String LABEL = "vespa.label.";
    private static final String ID = ".id";

    private final Map<String, Value> values = new HashMap<>();
    private final Map<String, float[]> vectors = new HashMap<>();
    private final Map<Integer, String> labels = new HashMap<>();

    Inputs(List<TensorProperty> tensors, List<StringProperty> numbers) {
        for (TensorProperty each : tensors) {
            byte[] bytes = each.getValue().toByteArray();
            Tensor tensor = TypedBinaryFormat.decode(Optional.empty(), GrowableByteBuffer.wrap(bytes));
            values.put(plain(each.getName()), new TensorValue(tensor));
            if (tensor instanceof IndexedTensor indexed) {
                vectors.put(plain(each.getName()), Row.floats(indexed));
            }
        }
        for (StringProperty each : numbers) {
            if (each.getName().startsWith(LABEL) && each.getName().endsWith(ID)) {
                String label = each.getName().substring(LABEL.length(), each.getName().length() - ID.length());
                labels.put(Integer.parseInt(each.getValues(0)), label);
                continue;
            }
            try {
                values.putIfAbsent(plain(each.getName()), new DoubleValue(Double.parseDouble(each.getValues(0))));
            } catch (NumberFormatException error) {
                // A property that is no number, such as vespa.softtimeout.enable: no rank input.
            }
        }
    }

    boolean has(String name) {
        return values.containsKey(name);
    }

    Value value(String name) {
        return values.getOrDefault(name, new DoubleValue(0));
    }

    /** A dense query vector, or null where the query has none of that name. */
    float[] vector(String name) {
        return vectors.get(name);
    }

    /** The label of the query item with this unique id, or null. */
    String label(int uniqueId) {
        return labels.get(uniqueId);
    }

    private static String plain(String name) {
        return name.startsWith("query(") ? name.substring(6, name.length() - 1) : name;
    }
}
