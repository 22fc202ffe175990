package mrse.peer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.yahoo.application.Networking;
import com.yahoo.application.container.JDisc;
import com.yahoo.container.standalone.PeerConfig;
import com.yahoo.vespa.model.VespaModel;
import java.io.BufferedReader;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Vespa's container over content nodes of ours, until standard input ends.
 *
 * <p>Prints {@code {"ready": true, "port": …}} and then answers one JSON object a line with one a line:
 *
 * <pre>
 * {"op": "fault", "place": "node0" | "nodes" | "feed", "kind": "…", "amount": 0.5, "message": "…"}
 * {"op": "clear"}     {"op": "deploy", "path": "…"}     {"op": "count"}
 * </pre>
 */
final class Server {

    private final Map<Integer, ContentNode> nodes = new TreeMap<>();
    private final Path scratch;
    private final int port;
    private final int groups;
    private final int nodesPerGroup;
    private Application application;
    /** The package as it was given, not as it runs here: changes are judged against it. */
    private VespaModel declared;

    private Server(Path scratch, int port, int groups, int nodesPerGroup) {
        this.scratch = scratch;
        this.port = port;
        this.groups = groups;
        this.nodesPerGroup = nodesPerGroup;
    }

    static void run(Map<String, String> options, BufferedReader in, PrintStream out) throws Exception {
        Path scratch = Files.createTempDirectory("vespa-peer");
        Server server = new Server(scratch, Loopback.port(Integer.parseInt(options.getOrDefault("port", "0"))),
            Integer.parseInt(options.getOrDefault("groups", "1")), Integer.parseInt(options.getOrDefault("nodes", "1")));
        try (JDisc container = server.start(Path.of(options.get("package")))) {
            ConfigServer configServer = new ConfigServer(server::deploy, scratch);
            out.println(Judge.JSON.createObjectNode().put("ready", true).put("port", server.port)
                .put("configPort", configServer.port()));
            out.flush();
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                out.println(server.answer(line));
                out.flush();
            }
        } finally {
            com.yahoo.io.IOUtils.recursiveDeleteDir(scratch.toFile());
        }
    }

    private JDisc start(Path source) throws Exception {
        Map<Integer, Integer> ports = new HashMap<>();
        for (int key = 0; key < groups * nodesPerGroup; key++) {
            nodes.put(key, new ContentNode(key, key % nodesPerGroup, nodesPerGroup));
            ports.put(key, nodes.get(key).port());
        }
        PeerConfig.nodes(ports);
        declared = Models.validate(source.toFile(), null).model();
        application = Application.of(source, scratch, port, groups, nodesPerGroup);
        VespaModel model = Models.validate(application.path.toFile(), null).model();
        Schemas.INSTANCE.learn(model);
        System.setProperty("vespa.local", "true");
        JDisc container = JDisc.fromPath(application.path, Networking.enable, model.configModelRepo());
        Loopback.bind();
        new Readiness(port).await(application.documentTypes, List.of());
        return container;
    }

    private ObjectNode answer(String line) {
        ObjectNode answer = Judge.JSON.createObjectNode();
        try {
            JsonNode request = Judge.JSON.readTree(line);
            switch (request.path("op").asText()) {
                case "fault" -> fault(request);
                case "clear" -> clear();
                case "deploy" -> {
                    Models.Verdict verdict = deploy(Path.of(request.path("path").asText()));
                    answer.set("warnings", Judge.JSON.valueToTree(verdict.warnings()));
                    answer.set("actions", Judge.JSON.valueToTree(verdict.actions()));
                }
                case "count" -> Store.INSTANCE.types().forEach(type -> answer.put(type, Store.INSTANCE.rows(type).length));
                default -> throw new IllegalArgumentException("unknown op in " + line);
            }
            answer.put("ok", true);
        } catch (Exception error) {
            answer.put("ok", false).put("error", Messages.of(error));
        }
        return answer;
    }

    private void fault(JsonNode request) {
        String place = request.path("place").asText();
        String kind = request.path("kind").asText();
        if (kind.equals("down")) {
            nodes.get(Integer.parseInt(place.substring("node".length()))).down();
            return;
        }
        Faults.INSTANCE.set(place, kind,
            new Faults.Fault(request.path("amount").asDouble(1), request.path("message").asText(kind)));
    }

    private void clear() throws Exception {
        Faults.INSTANCE.clear();
        for (ContentNode node : nodes.values()) {
            node.up();
        }
    }

    /** Validates package and change as Vespa's config server does and reconfigures the running container. */
    private synchronized Models.Verdict deploy(Path source) throws Exception {
        Models.Verdict verdict = Models.validate(source.toFile(), declared);
        Application next = Application.of(source, scratch, port, groups, nodesPerGroup);
        VespaModel model = Models.validate(next.path.toFile(), null).model();
        Schemas.INSTANCE.learn(model);
        PeerConfig.deploy(next.path, model);
        List<String> dropped = application.documentTypes.stream().filter(type -> !next.documentTypes.contains(type)).toList();
        new Readiness(port).await(next.documentTypes, dropped);
        dropped.forEach(Store.INSTANCE::drop);
        application = next;
        declared = verdict.model();
        return verdict;
    }
}
