package mrse.peer;

import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

/** {@code judge}: answers about packages, queries and feed; {@code serve}: Vespa's container. */
public final class Main {

    private Main() {}

    public static void main(String[] arguments) throws Exception {
        // Standard output carries answers only: Vespa's own prints go to standard error.
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);
        System.setOut(System.err);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        int status = 0;
        try {
            switch (arguments.length == 0 ? "" : arguments[0]) {
                case "judge" -> new Judge().serve(in, out);
                case "serve" -> Server.run(options(arguments), in, out);
                default -> throw new IllegalArgumentException("usage: judge | serve package=DIR [nodes=1] [groups=1] [port=0]");
            }
        } catch (Exception | Error error) {
            error.printStackTrace();
            status = 1;
        }
        out.flush();
        System.exit(status); // Vespa leaves threads behind that are no daemons.
    }

    private static Map<String, String> options(String[] arguments) {
        Map<String, String> options = new HashMap<>();
        for (int i = 1; i < arguments.length; i++) {
            String[] parts = arguments[i].split("=", 2);
            options.put(parts[0], parts[1]);
        }
        return options;
    }
}
