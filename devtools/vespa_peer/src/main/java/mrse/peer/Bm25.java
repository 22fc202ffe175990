package mrse.peer;

import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Vespa's bm25 of an array of words, with its default constants; each element is one word. */
final class Bm25 {

    private static final double K1 = 1.2;
    private static final double B = 0.75;

    private final String field;
    private final Map<String, Double> idf = new HashMap<>();
    private final double meanLength;

    Bm25(Row[] rows, String field, List<String> words) {
        this.field = field;
        long length = 0;
        Map<String, Integer> found = new HashMap<>();
        for (Row row : rows) {
            List<?> elements = elements(row);
            length += elements.size();
            for (String word : words) {
                if (elements.contains(word)) {
                    found.merge(word, 1, Integer::sum);
                }
            }
        }
        meanLength = rows.length == 0 ? 1 : Math.max(1e-9, (double) length / rows.length);
        for (String word : words) {
            int documents = found.getOrDefault(word, 0);
            idf.put(word, Math.log(1 + (rows.length - documents + 0.5) / (documents + 0.5)));
        }
    }

    double score(Row row) {
        List<?> elements = elements(row);
        double score = 0;
        for (Map.Entry<String, Double> each : idf.entrySet()) {
            int count = Collections.frequency(elements, each.getKey());
            score += each.getValue() * count * (K1 + 1) / (count + K1 * (1 - B + B * elements.size() / meanLength));
        }
        return score;
    }

    private List<?> elements(Row row) {
        return row.value(field) instanceof List<?> elements ? elements : List.of();
    }
}
