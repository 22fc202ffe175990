package mrse.peer;

import ai.vespa.searchlib.searchprotocol.protobuf.SearchProtocol.Feature;
import ai.vespa.searchlib.searchprotocol.protobuf.SearchProtocol.Hit;
import ai.vespa.searchlib.searchprotocol.protobuf.SearchProtocol.SearchReply;
import ai.vespa.searchlib.searchprotocol.protobuf.SearchProtocol.SearchRequest;
import com.google.protobuf.ByteString;
import com.yahoo.searchlib.rankingexpression.evaluation.TensorValue;
import com.yahoo.searchlib.rankingexpression.evaluation.Value;
import com.yahoo.tensor.serialization.TypedBinaryFormat;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.List;

/** One search on one node: match, rank, the best hits with their match-features. */
final class Search {

    private record Scored(Row row, double score) {}

    private final SearchRequest request;
    private final Row[] rows;
    private final int node;

    Search(SearchRequest request, Row[] rows, int node) {
        this.request = request;
        this.rows = rows;
        this.node = node;
    }

    SearchReply reply() {
        Faults.Fault error = Faults.INSTANCE.of(node, "error");
        if (error != null) {
            return ContentNode.failure(error.message());
        }
        SearchReply.Builder reply = SearchReply.newBuilder().setActiveDocs(rows.length).setTargetActiveDocs(rows.length);
        Row[] searched = degrade(reply);
        reply.setCoverageDocs(searched.length);
        Schemas.Schema schema = Schemas.INSTANCE.get(request.getDocumentType());
        RankProfile profile = schema.profiles().get(request.getRankProfile());
        if (profile == null) {
            throw new IllegalArgumentException("no rank profile " + request.getRankProfile());
        }
        Inputs inputs = new Inputs(request.getTensorRankPropertiesList(), request.getRankPropertiesList());
        Matching matching = new Matching(searched, inputs, schema);
        BitSet matches = matching.match(request.getQueryTree().getRoot());
        reply.setTotalHitCount(matches.cardinality());
        Features features = new Features(profile, inputs, matching);
        List<Scored> best = best(searched, matches, features);
        profile.matchFeatures.forEach(name -> reply.addMatchFeatureNames(profile.shownName(name)));
        for (Scored each : best) {
            reply.addHits(hit(each, profile, features));
        }
        return reply.build();
    }

    private Row[] degrade(SearchReply.Builder reply) {
        Faults.Fault softTimeout = Faults.INSTANCE.of(node, "soft-timeout");
        Faults.Fault matchPhase = Faults.INSTANCE.of(node, "match-phase");
        reply.setDegradedBySoftTimeout(softTimeout != null);
        reply.setDegradedByMatchPhase(matchPhase != null);
        reply.setDegradedByAnnTimeout(Faults.INSTANCE.of(node, "ann-timeout") != null);
        double share = Math.min(softTimeout == null ? 1 : softTimeout.amount(), matchPhase == null ? 1 : matchPhase.amount());
        return share >= 1 ? rows : Arrays.copyOf(rows, (int) (rows.length * share));
    }

    private List<Scored> best(Row[] searched, BitSet matches, Features features) {
        if (request.getHits() == 0) {
            return List.of();
        }
        List<Scored> scored = new ArrayList<>(matches.cardinality());
        matches.stream().forEach(i -> scored.add(new Scored(searched[i], features.score(searched[i]))));
        scored.sort(Comparator.comparingDouble(Scored::score).reversed().thenComparing(each -> each.row().gid));
        int from = Math.min(request.getOffset(), scored.size());
        return scored.subList(from, Math.min(from + request.getHits(), scored.size()));
    }

    private static Hit hit(Scored scored, RankProfile profile, Features features) {
        Hit.Builder hit = Hit.newBuilder()
            .setGlobalId(ByteString.copyFrom(scored.row().gid.getRawId()))
            .setRelevance(scored.score());
        for (String name : profile.matchFeatures) {
            Value value = features.feature(scored.row(), name);
            hit.addMatchFeatures(value instanceof TensorValue
                ? Feature.newBuilder().setTensor(ByteString.copyFrom(TypedBinaryFormat.encode(value.asTensor())))
                : Feature.newBuilder().setNumber(value.asDouble()));
        }
        return hit.build();
    }
}
