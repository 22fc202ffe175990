package mrse.peer;

import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpTimeoutException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;

/** Waits until the container serves exactly the document types that it should. */
final class Readiness {

    private static final Duration PATIENCE = Duration.ofSeconds(120);

    private final int port;
    private final HttpClient client = HttpClient.newHttpClient();

    Readiness(int port) {
        this.port = port;
    }

    void await(List<String> served, List<String> gone) throws Exception {
        long end = System.nanoTime() + PATIENCE.toNanos();
        String answer = "";
        while (System.nanoTime() < end) {
            boolean ready = true;
            try {
                for (String type : served) {
                    HttpResponse<String> response = ask(type);
                    answer = response.body();
                    ready &= response.statusCode() == 200;
                }
                for (String type : gone) {
                    ready &= ask(type).statusCode() != 200;
                }
            } catch (HttpTimeoutException error) {
                // A busy machine: asked again for as long as there is patience.
                answer = Messages.of(error);
                ready = false;
            }
            if (ready) {
                return;
            }
            Thread.sleep(50);
        }
        throw new IllegalStateException("the container is not ready after " + PATIENCE + ": " + answer);
    }

    private HttpResponse<String> ask(String type) throws Exception {
        String yql = URLEncoder.encode("select * from sources " + type + " where true limit 0", StandardCharsets.UTF_8);
        URI uri = URI.create("http://127.0.0.1:" + port + "/search/?timeout=5s&yql=" + yql);
        return client.send(HttpRequest.newBuilder(uri).timeout(Duration.ofSeconds(10)).build(),
            HttpResponse.BodyHandlers.ofString());
    }
}
