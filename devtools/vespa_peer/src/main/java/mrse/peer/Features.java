package mrse.peer;

import com.yahoo.searchlib.rankingexpression.RankingExpression;
import com.yahoo.searchlib.rankingexpression.Reference;
import com.yahoo.searchlib.rankingexpression.evaluation.Context;
import com.yahoo.searchlib.rankingexpression.evaluation.DoubleValue;
import com.yahoo.searchlib.rankingexpression.evaluation.TensorValue;
import com.yahoo.searchlib.rankingexpression.evaluation.Value;
import com.yahoo.tensor.Tensor;
import com.yahoo.tensor.TensorType;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Rank features of one document at a time, in the context of one query. */
final class Features extends Context {

    private static final Pattern FEATURE = Pattern.compile("(\\w+)\\(([\\w]+)(?:, ?([\\w]+))?\\)");

    private static final Pattern LABELS =
        Pattern.compile("tensorFromLabels\\(attribute\\((\\w+)\\), ?(\\w+)\\)");

    private final RankProfile profile;
    private final Inputs inputs;
    private final Matching matching;
    private Row row;

    Features(RankProfile profile, Inputs inputs, Matching matching) {
        this.profile = profile;
        this.inputs = inputs;
        this.matching = matching;
    }

    /** First-phase score of a document. */
    double score(Row document) {
        row = document;
        double score = number(profile.firstPhase);
        return Double.isNaN(score) ? Double.NEGATIVE_INFINITY : score;
    }

    /** Value of one match-feature of a document. */
    Value feature(Row document, String name) {
        row = document;
        return get(name);
    }

    private double number(String name) {
        return get(name).asDouble();
    }

    @Override
    public Value get(String name) {
        RankingExpression expression = profile.expression(name);
        if (expression != null) {
            return expression.evaluate(this);
        }
        Matcher labels = LABELS.matcher(name);
        if (labels.matches()) {
            return label(labels.group(1), labels.group(2));
        }
        Matcher parsed = FEATURE.matcher(name);
        if (!parsed.matches()) {
            if (name.equals("nativeRank")) {
                return new DoubleValue(0);
            }
            throw new IllegalArgumentException("the peer has no rank feature " + name);
        }
        String first = parsed.group(2);
        String second = parsed.group(3);
        return switch (parsed.group(1)) {
            case "value" -> new DoubleValue(Double.parseDouble(first));
            case "closeness" -> new DoubleValue(matching.closeness(row, first, second));
            case "distance" -> new DoubleValue(1 / matching.closeness(row, first, second) - 1);
            case "dot" -> new DoubleValue(Vectors.dot(inputs.vector(first), row.vector(second)));
            case "itemRawScore" -> new DoubleValue(matching.rawScore(row, first));
            case "query" -> inputs.has(first) ? inputs.value(first) : profile.missing(first);
            case "attribute" -> attribute(first);
            case "bm25" -> new DoubleValue(matching.bm25(row, first));
            default -> throw new IllegalArgumentException("the peer has no rank feature " + name);
        };
    }

    @Override
    public Tensor getTensor(String name) {
        return get(name).asTensor();
    }

    @Override
    public TensorType getType(Reference reference) {
        return get(reference.toString()).type();
    }

    @Override
    public String resolveBinding(String name) {
        return name;
    }

    /** A tensor with one cell of 1, by the string that the document has. */
    private Value label(String field, String dimension) {
        TensorType type = new TensorType.Builder(TensorType.Value.DOUBLE).mapped(dimension).build();
        Tensor.Builder tensor = Tensor.Builder.of(type);
        if (row.value(field) instanceof String text) {
            tensor.cell().label(dimension, text).value(1);
        }
        return new TensorValue(tensor.build());
    }

    private Value attribute(String name) {
        Object value = row.value(name);
        if (value instanceof Tensor tensor) {
            return new TensorValue(tensor);
        }
        if (value instanceof Number number) {
            return new DoubleValue(number.doubleValue());
        }
        if (value instanceof Boolean flag) {
            return new DoubleValue(flag ? 1 : 0);
        }
        return new DoubleValue(value == null ? 0 : value.hashCode());
    }
}
