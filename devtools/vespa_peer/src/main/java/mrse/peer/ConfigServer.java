package mrse.peer;

import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/**
 * The two endpoints of a config server that a deployment needs, ours, with Vespa's validation behind them:
 * POST {@code …/prepareandactivate} and GET {@code …/serviceconverge}.
 */
final class ConfigServer {

    /** Puts a package into service; returns the actions that the change asks for. */
    interface Deployer {
        Models.Verdict deploy(Path application) throws Exception;
    }

    private final HttpServer http;
    private final Deployer deployer;
    private final Path scratch;
    private final AtomicLong generation = new AtomicLong(1);

    ConfigServer(Deployer deployer, Path scratch) throws IOException {
        this.deployer = deployer;
        this.scratch = scratch;
        http = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        http.createContext("/application/v2/tenant/default/", this::handle);
        http.setExecutor(Executors.newFixedThreadPool(2, task -> {
            Thread thread = new Thread(task, "config-server");
            thread.setDaemon(true);
            return thread;
        }));
        http.start();
    }

    int port() {
        return http.getAddress().getPort();
    }

    private void handle(HttpExchange exchange) throws IOException {
        ObjectNode answer = Judge.JSON.createObjectNode();
        int status = 200;
        String path = exchange.getRequestURI().getPath();
        if (exchange.getRequestMethod().equals("POST") && path.endsWith("/prepareandactivate")) {
            status = deploy(exchange.getRequestBody().readAllBytes(), answer);
        } else if (exchange.getRequestMethod().equals("GET") && path.endsWith("/serviceconverge")) {
            answer.put("converged", true).put("wantedGeneration", generation.get()).put("currentGeneration", generation.get());
        } else {
            status = 404;
            answer.put("error-code", "NOT_FOUND").put("message", "Nothing at " + path);
        }
        byte[] body = answer.toString().getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().add("Content-Type", "application/json");
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    private int deploy(byte[] zip, ObjectNode answer) throws IOException {
        Path application = Files.createTempDirectory(scratch, "deployed");
        try {
            unzip(zip, application);
            Models.Verdict verdict = deployer.deploy(application);
            long session = generation.incrementAndGet();
            answer.put("session-id", String.valueOf(session)).put("tenant", "default").put("message", "activated");
            var log = answer.putArray("log");
            verdict.warnings().forEach(each -> log.addObject().put("level", "WARNING").put("message", each));
            ObjectNode actions = answer.putObject("configChangeActions");
            for (String kind : List.of("RESTART", "REFEED", "REINDEX")) {
                var list = actions.putArray(kind.toLowerCase());
                verdict.actions().stream().filter(each -> each.startsWith(kind + " "))
                    .forEach(each -> list.addObject().putArray("messages").add(each.substring(kind.length() + 1)));
            }
            return 200;
        } catch (Exception error) {
            answer.put("error-code", "INVALID_APPLICATION_PACKAGE").put("message", Messages.of(error));
            return 400;
        }
    }

    private static void unzip(byte[] zip, Path target) throws IOException {
        try (ZipInputStream entries = new ZipInputStream(new ByteArrayInputStream(zip))) {
            for (ZipEntry entry = entries.getNextEntry(); entry != null; entry = entries.getNextEntry()) {
                Path file = target.resolve(entry.getName()).normalize();
                if (!file.startsWith(target)) {
                    throw new IOException("an entry outside the package: " + entry.getName());
                }
                if (entry.isDirectory()) {
                    Files.createDirectories(file);
                } else {
                    Files.createDirectories(file.getParent());
                    Files.copy((InputStream) entries, file);
                }
            }
        }
    }
}
