package mrse.peer;

import com.yahoo.searchlib.rankingexpression.RankingExpression;
import com.yahoo.searchlib.rankingexpression.parser.ParseException;
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

    final String firstPhase;
    final List<String> matchFeatures = new ArrayList<>();
    private final Map<String, RankingExpression> expressions = new HashMap<>();

    RankProfile(RankProfilesConfig.Rankprofile config) {
        String first = "nativeRank";
        for (RankProfilesConfig.Rankprofile.Fef.Property property : config.fef().property()) {
            var script = SCRIPT.matcher(property.name());
            if (property.name().equals("vespa.rank.firstphase")) {
                first = property.value();
            } else if (property.name().equals("vespa.match.feature")) {
                matchFeatures.add(property.value());
            } else if (script.matches()) {
                expressions.put("rankingExpression(" + script.group(1) + ")", parse(property.value()));
            }
        }
        firstPhase = first;
    }

    /** The expression behind a feature's name, or null for a feature of the engine. */
    RankingExpression expression(String feature) {
        return expressions.get(feature);
    }

    private static RankingExpression parse(String script) {
        try {
            return new RankingExpression(DOT.matcher(script).replaceAll("dot($1,$2)"));
        } catch (ParseException error) {
            throw new IllegalArgumentException(error);
        }
    }
}
