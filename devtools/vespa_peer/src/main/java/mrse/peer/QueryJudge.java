package mrse.peer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.yahoo.component.chain.Chain;
import com.yahoo.container.QrSearchersConfig;
import com.yahoo.prelude.IndexFacts;
import com.yahoo.prelude.IndexModel;
import com.yahoo.prelude.searcher.ValidateSortingSearcher;
import com.yahoo.search.Query;
import com.yahoo.search.Result;
import com.yahoo.search.Searcher;
import com.yahoo.search.config.ClusterConfig;
import com.yahoo.search.config.IndexInfoConfig;
import com.yahoo.search.config.SchemaInfoConfig;
import com.yahoo.search.query.profile.compiled.CompiledQueryProfileRegistry;
import com.yahoo.search.query.profile.config.QueryProfileConfigurer;
import com.yahoo.search.query.profile.config.QueryProfilesConfig;
import com.yahoo.search.schema.SchemaInfo;
import com.yahoo.search.searchchain.Execution;
import com.yahoo.search.searchers.QueryValidator;
import com.yahoo.search.searchers.ValidateNearestNeighborSearcher;
import com.yahoo.search.yql.MinimalQueryInserter;
import com.yahoo.tensor.Tensor;
import com.yahoo.vespa.config.search.AttributesConfig;
import com.yahoo.vespa.model.VespaModel;
import com.yahoo.vespa.model.container.ApplicationContainerCluster;
import com.yahoo.vespa.model.search.SearchCluster;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;

/** Runs request parameters through Vespa's query builder and its checks, up to where nodes would search. */
final class QueryJudge {

    /** What of a model is needed; costs half a second, so it is kept while the model is the same. */
    private record Facts(VespaModel model, String container, IndexFacts index, SchemaInfo schemas,
                         CompiledQueryProfileRegistry profiles) {}

    private static Facts facts;

    private QueryJudge() {}

    static void judge(VespaModel model, JsonNode params, ObjectNode answer) {
        Facts known = facts(model);
        Query query = new Query.Builder()
            .setRequestMap(flat(params))
            .setQueryProfile(known.profiles().findQueryProfile(params.path("queryProfile").asText("default")))
            .setSchemaInfo(known.schemas())
            .build();
        AttributesConfig attributes = attributes(model);
        Sink sink = new Sink();
        List<Searcher> searchers = List.of(
            new MinimalQueryInserter(),
            new ValidateSortingSearcher(new ClusterConfig.Builder().clusterName("items").build(), attributes),
            new ValidateNearestNeighborSearcher(attributes),
            new QueryValidator(),
            sink);
        Execution.Context context = Execution.Context.createContextStub(
            null, known.index(), known.schemas(), new com.yahoo.language.simple.SimpleLinguistics());
        Result result = new Execution(new Chain<>("judge", searchers), context).search(query);
        if (result.hits().getError() != null) {
            throw new IllegalArgumentException(result.hits().getError().toString());
        }
        if (!sink.reached) {
            throw new IllegalArgumentException("the query did not reach the nodes");
        }
        answer.set("tree", Trees.json(query.getModel().getQueryTree().getRoot()));
        describe(query, answer);
    }

    /** Read before prepare(): that moves the inputs to where nodes get them. */
    private static void describe(Query query, ObjectNode answer) {
        answer.put("hits", query.getHits());
        answer.put("offset", query.getOffset());
        answer.put("timeout", query.getTimeout());
        answer.put("profile", query.getRanking().getProfile());
        answer.put("summary", query.getPresentation().getSummary());
        answer.put("maxHits", query.properties().getInteger("maxHits", 400));
        answer.set("restrict", Judge.JSON.valueToTree(query.getModel().getRestrict().stream().sorted().toList()));
        answer.set("annTimeBudget", Judge.JSON.valueToTree(query.getRanking().getMatching().getAnnTimeBudget()));
        answer.putObject("annTimeout")
            .put("enable", query.getRanking().getMatching().getAnnTimeout().getEnable())
            .put("factor", query.getRanking().getMatching().getAnnTimeout().getFactor());
        answer.set("softTimeout", Judge.JSON.valueToTree(query.getRanking().getSoftTimeout().getEnable()));
        ObjectNode inputs = answer.putObject("inputs");
        query.getRanking().getFeatures().asMap().forEach((name, value) -> {
            inputs.put(name, value instanceof Tensor tensor ? tensor.type().toString() : String.valueOf(value));
        });
    }

    private static final class Sink extends Searcher {
        boolean reached;

        @Override
        public Result search(Query query, Execution execution) {
            reached = true;
            return new Result(query);
        }
    }

    private static synchronized Facts facts(VespaModel model) {
        if (facts == null || facts.model() != model) {
            String container = model.getContainerClusters().values().stream()
                .filter(cluster -> cluster.getSearch() != null)
                .map(ApplicationContainerCluster::getConfigId)
                .findFirst().orElseThrow(() -> new IllegalArgumentException("no container with <search>"));
            QrSearchersConfig searchers = model.getConfig(QrSearchersConfig.class, container);
            IndexFacts index = new IndexFacts(new IndexModel(model.getConfig(IndexInfoConfig.class, container), searchers));
            facts = new Facts(model, container, index.freeze(),
                new SchemaInfo(model.getConfig(SchemaInfoConfig.class, container), searchers),
                QueryProfileConfigurer.createFromConfig(model.getConfig(QueryProfilesConfig.class, container)).compile());
        }
        return facts;
    }

    /** The attributes of all document types, which have their names in common. */
    private static AttributesConfig attributes(VespaModel model) {
        AttributesConfig.Builder builder = new AttributesConfig.Builder();
        for (SearchCluster cluster : model.getSearchClusters()) {
            for (String type : cluster.schemas().keySet()) {
                builder.attribute.addAll(new AttributesConfig.Builder(
                    model.getConfig(AttributesConfig.class, cluster.getConfigId() + "/" + type)).attribute);
            }
        }
        return builder.build();
    }

    /** Vespa flattens nested objects of a posted query the same way. */
    private static Map<String, String> flat(JsonNode params) {
        Map<String, String> flat = new HashMap<>();
        flatten("", params, flat);
        return flat;
    }

    private static void flatten(String prefix, JsonNode node, Map<String, String> flat) {
        for (Iterator<Map.Entry<String, JsonNode>> fields = node.fields(); fields.hasNext(); ) {
            Map.Entry<String, JsonNode> field = fields.next();
            if (field.getValue().isObject()) {
                flatten(prefix + field.getKey() + ".", field.getValue(), flat);
            } else {
                JsonNode value = field.getValue();
                flat.put(prefix + field.getKey(), value.isValueNode() ? value.asText() : value.toString());
            }
        }
    }
}
