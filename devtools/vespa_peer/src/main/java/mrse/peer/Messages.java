package mrse.peer;

import java.util.regex.Pattern;

/** One line out of an exception and its causes. */
final class Messages {

    /** Vespa's errors echo whole tensors. */
    private static final Pattern LONG_HEX = Pattern.compile("[0-9a-fA-F]{64,}");

    private Messages() {}

    static String of(Throwable error) {
        StringBuilder text = new StringBuilder();
        for (Throwable each = error; each != null; each = each.getCause()) {
            String message = each.getMessage();
            String part = message == null ? each.getClass().getSimpleName() : message;
            if (text.indexOf(part) < 0) {
                text.append(text.isEmpty() ? "" : ": ").append(part);
            }
        }
        return LONG_HEX.matcher(text.toString().replace('\n', ' ')).replaceAll("…");
    }
}
