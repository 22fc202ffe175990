package mrse.peer;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.yahoo.vespa.model.VespaModel;
final class QueryJudge { static void judge(VespaModel m, JsonNode p, ObjectNode a) {} }
