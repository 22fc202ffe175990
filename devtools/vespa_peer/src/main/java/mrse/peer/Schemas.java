package mrse.peer;

import com.yahoo.vespa.config.search.AttributesConfig;
import com.yahoo.vespa.config.search.RankProfilesConfig;
import com.yahoo.vespa.config.search.SummaryConfig;
import com.yahoo.vespa.model.VespaModel;
import com.yahoo.vespa.model.search.SearchCluster;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/** What a content node must know of each document type, from the configuration that Vespa derives. */
final class Schemas {

    static final Schemas INSTANCE = new Schemas();

    record Schema(Map<String, RankProfile> profiles, Map<String, List<SummaryConfig.Classes.Fields>> summaries,
                  Set<String> cased, Set<String> angular) {}

    private volatile Map<String, Schema> schemas = Map.of();

    Schema get(String documentType) {
        Schema schema = schemas.get(documentType);
        if (schema == null) {
            throw new IllegalArgumentException("no document type " + documentType);
        }
        return schema;
    }

    /** Adds the types of a model; those that it dropped are known on, for queries under way. */
    void learn(VespaModel model) {
        Map<String, Schema> learnt = new HashMap<>(schemas);
        for (SearchCluster cluster : model.getSearchClusters()) {
            for (String type : cluster.schemas().keySet()) {
                learnt.put(type, read(model, cluster.getConfigId() + "/" + type));
            }
        }
        schemas = Map.copyOf(learnt);
    }

    private static Schema read(VespaModel model, String id) {
        Map<String, RankProfile> profiles = new HashMap<>();
        for (RankProfilesConfig.Rankprofile each : model.getConfig(RankProfilesConfig.class, id).rankprofile()) {
            profiles.put(each.name(), new RankProfile(each));
        }
        Map<String, List<SummaryConfig.Classes.Fields>> summaries = new HashMap<>();
        for (SummaryConfig.Classes each : model.getConfig(SummaryConfig.class, id).classes()) {
            summaries.put(each.name(), each.fields());
        }
        Set<String> cased = model.getConfig(AttributesConfig.class, id).attribute().stream()
            .filter(each -> each.match() == AttributesConfig.Attribute.Match.Enum.CASED)
            .map(AttributesConfig.Attribute::name)
            .collect(Collectors.toSet());
        Set<String> angular = model.getConfig(AttributesConfig.class, id).attribute().stream()
            .filter(each -> each.distancemetric() == AttributesConfig.Attribute.Distancemetric.Enum.ANGULAR)
            .map(AttributesConfig.Attribute::name)
            .collect(Collectors.toSet());
        return new Schema(profiles, summaries, cased, angular);
    }
}
