package mrse.peer;

import com.yahoo.document.Document;
import com.yahoo.document.Field;
import com.yahoo.document.GlobalId;
import com.yahoo.document.datatypes.Array;
import com.yahoo.document.datatypes.BoolFieldValue;
import com.yahoo.document.datatypes.FieldValue;
import com.yahoo.document.datatypes.NumericFieldValue;
import com.yahoo.document.datatypes.TensorFieldValue;
import com.yahoo.document.datatypes.WeightedSet;
import com.yahoo.io.GrowableByteBuffer;
import com.yahoo.tensor.IndexedTensor;
import com.yahoo.tensor.Tensor;
import com.yahoo.tensor.serialization.TypedBinaryFormat;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** A document as the content nodes see it; never changed once made. */
final class Row {

    final GlobalId gid;
    final Document document;
    /** String, Number, Boolean, List of these, or Tensor; absent where the document says nothing. */
    private final Map<String, Object> values = new HashMap<>();
    private final Map<String, float[]> vectors = new HashMap<>();

    Row(Document document) {
        this.document = document;
        this.gid = new GlobalId(document.getId().getGlobalId());
        for (Iterator<Map.Entry<Field, FieldValue>> each = document.iterator(); each.hasNext(); ) {
            Map.Entry<Field, FieldValue> entry = each.next();
            Object value = plain(entry.getValue());
            if (value != null) {
                values.put(entry.getKey().getName(), value);
                if (value instanceof IndexedTensor tensor && tensor.type().dimensions().size() == 1) {
                    vectors.put(entry.getKey().getName(), floats(tensor));
                }
            }
        }
    }

    String type() {
        return document.getDataType().getName();
    }

    Object value(String field) {
        return values.get(field);
    }

    /** The cells of a dense vector, or null. */
    float[] vector(String field) {
        return vectors.get(field);
    }

    static float[] floats(IndexedTensor tensor) {
        float[] cells = new float[(int) tensor.size()];
        for (int i = 0; i < cells.length; i++) {
            cells[i] = tensor.getFloat(i);
        }
        return cells;
    }

    private static Object plain(FieldValue value) {
        if (value instanceof TensorFieldValue tensor) {
            return tensor.getTensor().map(Row::stored).orElse(null);
        }
        if (value instanceof Array<?> array) {
            List<Object> elements = new ArrayList<>(array.size());
            for (FieldValue element : array) {
                elements.add(plain(element));
            }
            return elements;
        }
        if (value instanceof WeightedSet<?> set) {
            return set.keySet().stream().map(Row::plain).toList();
        }
        if (value instanceof BoolFieldValue flag) {
            return flag.getBoolean();
        }
        if (value instanceof NumericFieldValue number) {
            return number.getNumber();
        }
        return value.getWrappedValue() == null ? null : value.getWrappedValue().toString();
    }

    /** A tensor as it would come back from the wire: its cells have gone through their own type. */
    private static Tensor stored(Tensor tensor) {
        byte[] bytes = TypedBinaryFormat.encode(tensor);
        return TypedBinaryFormat.decode(Optional.of(tensor.type()), GrowableByteBuffer.wrap(bytes));
    }
}
