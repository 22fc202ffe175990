package mrse.peer;

import com.yahoo.searchlib.rankingexpression.RankingExpression;
import com.yahoo.searchlib.rankingexpression.evaluation.DoubleValue;
import com.yahoo.searchlib.rankingexpression.evaluation.TensorValue;
import com.yahoo.searchlib.rankingexpression.evaluation.Value;
import com.yahoo.searchlib.rankingexpression.parser.ParseException;
import com.yahoo.tensor.Tensor;
import com.yahoo.tensor.TensorType;
import com.yahoo.vespa.config.search.RankProfilesConfig;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/** First phase and match-features of a rank profile; expressions are Vespa's own. */
final class RankProfile {

    /** Vespa's Java tensors are slow and the dot product is the one that we meet: see `Features`. */
    private static final Pattern DOT =
        Pattern.compile("reduce\\(query\\((\\w+)\\) \\* attribute\\((\\w+)\\), sum\\)");
    private static final Pattern SCRIPT = Pattern.compile("rankingExpression\\((.+)\\)\\.rankingScript");

    private static final String INPUT_TYPE = "vespa.type.query.";

    final String firstPhase;
    final List<String> matchFeatures = new ArrayList<>();
    private final Map<String, RankingExpression> expressions = new HashMap<>();
    private final Map<String, String> names = new HashMap<>();
    private final Map<String, TensorType> inputs = new HashMap<>();

    RankProfile(RankProfilesConfig.Rankprofile config) {
        String first = "nativeRank";
        String renamed = null;
        for (RankProfilesConfig.Rankprofile.Fef.Property property : config.fef().property()) {
            var script = SCRIPT.matcher(property.name());
            if (property.name().equals("vespa.rank.firstphase")) {
                first = property.value();
            } else if (property.name().equals("vespa.feature.rename")) {
                // In pairs: the expression of a function, and the function's own name.
                if (renamed == null) {
                    renamed = property.value();
                } else {
                    names.put(renamed, property.value());
                    renamed = null;
                }
            } else if (property.name().equals("vespa.match.feature")) {
                matchFeatures.add(property.value());
            } else if (property.name().startsWith(INPUT_TYPE)) {
                inputs.put(property.name().substring(INPUT_TYPE.length()), TensorType.fromSpec(property.value()));
            } else if (script.matches()) {
                expressions.put("rankingExpression(" + script.group(1) + ")", parse(property.value()));
            }
        }
        firstPhase = first;
    }

    /** What a feature is called in answers. */
    String shownName(String feature) {
        return names.getOrDefault(feature, feature);
    }

    /** The expression behind a feature's name, or null for a feature of the engine. */
    RankingExpression expression(String feature) {
        return expressions.get(feature);
    }

    /** The value of an input that the query does not have: an empty tensor of its type, or 0. */
    Value missing(String input) {
        TensorType type = inputs.get(input);
        return type == null ? new DoubleValue(0) : new TensorValue(Tensor.Builder.of(type).build());
    }

    private static RankingExpression parse(String script) {
        try {
            return new RankingExpression(DOT.matcher(script).replaceAll("dot($1,$2)"));
        } catch (ParseException error) {
            throw new IllegalArgumentException(error);
        }
    }
}
