package mrse.peer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.yahoo.vespa.model.VespaModel;
import java.io.BufferedReader;
import java.io.File;
import java.io.PrintStream;
import java.util.HashMap;
import java.util.Map;

/**
 * Answers one JSON object a line on standard input with one a line on standard output.
 *
 * <pre>
 * {"op": "package", "path": "…", "previous": "…"}   → {"ok": true, "warnings": […], "actions": […]}
 * {"op": "query", "path": "…", "params": {…}}       → {"ok": true, "tree": …, "hits": …, …}
 * {"op": "feed", "path": "…", "operations": […]}    → {"ok": true, "documents": […]}
 * </pre>
 *
 * What Vespa refuses is {@code {"ok": false, "error": "…"}}. Packages are read again whenever a file of
 * theirs changed.
 */
final class Judge {

    static final ObjectMapper JSON = new ObjectMapper();

    private record Known(String fingerprint, VespaModel model) {}

    private final Map<String, Known> models = new HashMap<>();

    void serve(BufferedReader in, PrintStream out) throws Exception {
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            out.println(JSON.writeValueAsString(answer(line)));
            out.flush();
        }
    }

    private ObjectNode answer(String line) {
        ObjectNode answer = JSON.createObjectNode();
        try {
            JsonNode request = JSON.readTree(line);
            switch (request.path("op").asText()) {
                case "package" -> judgePackage(request, answer);
                case "query" -> QueryJudge.judge(model(request.path("path").asText()), request.path("params"), answer);
                case "feed" -> FeedJudge.judge(model(request.path("path").asText()), request.path("operations"), answer);
                default -> throw new IllegalArgumentException("unknown op in " + line);
            }
            answer.put("ok", true);
        } catch (Exception | LinkageError error) {
            answer.put("ok", false).put("error", Messages.of(error));
        }
        return answer;
    }

    private void judgePackage(JsonNode request, ObjectNode answer) throws Exception {
        VespaModel previous = request.hasNonNull("previous") ? model(request.get("previous").asText()) : null;
        Models.Verdict verdict = Models.validate(new File(request.get("path").asText()), previous);
        answer.set("warnings", JSON.valueToTree(verdict.warnings()));
        answer.set("actions", JSON.valueToTree(verdict.actions()));
    }

    private VespaModel model(String path) throws Exception {
        String fingerprint = Fingerprint.of(new File(path));
        Known known = models.get(path);
        if (known == null || !known.fingerprint().equals(fingerprint)) {
            known = new Known(fingerprint, Models.validate(new File(path), null).model());
            models.put(path, known);
        }
        return known.model();
    }
}
