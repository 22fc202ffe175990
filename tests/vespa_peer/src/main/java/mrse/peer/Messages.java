package mrse.peer;

/** One line out of an exception and its causes. */
final class Messages {

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
        return text.toString().replace('\n', ' ');
    }
}
