package mrse.peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.yahoo.document.DataType;
import com.yahoo.document.DocumentId;
import com.yahoo.document.DocumentPut;
import com.yahoo.document.DocumentType;
import com.yahoo.document.DocumentTypeManager;
import com.yahoo.document.DocumentUpdate;
import com.yahoo.document.config.DocumentmanagerConfig;
import com.yahoo.document.datatypes.LongFieldValue;
import com.yahoo.document.json.DocumentOperationType;
import com.yahoo.document.json.JsonReader;
import com.yahoo.document.json.ParsedDocumentOperation;
import com.yahoo.document.select.DocumentSelector;
import com.yahoo.document.select.parser.ParseException;
import com.yahoo.vespa.model.VespaModel;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.util.TreeMap;

/** Reads document/v1 operations with Vespa's document reader and shows what it made of them. */
final class FeedJudge {

    private FeedJudge() {}

    static void judge(VespaModel model, JsonNode operations, ObjectNode answer) {
        DocumentTypeManager types = new DocumentTypeManager(model.getConfig(DocumentmanagerConfig.class, ""));
        ArrayNode documents = answer.putArray("documents");
        for (JsonNode operation : operations) {
            ObjectNode verdict = documents.addObject();
            try {
                read(types, operation, verdict);
                verdict.put("ok", true);
            } catch (Exception error) {
                verdict.put("ok", false).put("error", Messages.of(error));
            }
        }
    }

    /** True or false for a document whose numbers are 0; invalid where it asks another type or compares oddly. */
    private static String condition(DocumentType type, DocumentId id, String selection) throws ParseException {
        DocumentPut probe = new DocumentPut(type, id);
        type.fieldSet().stream().filter(field -> field.getDataType() == DataType.LONG)
            .forEach(field -> probe.getDocument().setFieldValue(field, new LongFieldValue(0)));
        return new DocumentSelector(selection).accepts(probe).toString();
    }

    private static void read(DocumentTypeManager types, JsonNode operation, ObjectNode verdict) throws Exception {
        DocumentId id = new DocumentId(operation.path("id").asText());
        if (types.getDocumentType(id.getDocType()) == null) {
            throw new IllegalArgumentException("document type " + id.getDocType() + " does not exist");
        }
        if (operation.hasNonNull("condition")) {
            verdict.put("condition", condition(types.getDocumentType(id.getDocType()), id, operation.get("condition").asText()));
        }
        DocumentOperationType kind = switch (operation.path("method").asText()) {
            case "POST" -> DocumentOperationType.PUT;
            case "PUT" -> DocumentOperationType.UPDATE;
            case "DELETE" -> DocumentOperationType.REMOVE;
            default -> throw new IllegalArgumentException("method " + operation.path("method"));
        };
        if (kind == DocumentOperationType.REMOVE) {
            return;
        }
        byte[] body = operation.path("body").asText().getBytes(StandardCharsets.UTF_8);
        JsonReader reader = new JsonReader(types, new ByteArrayInputStream(body), new JsonFactory());
        ParsedDocumentOperation parsed = reader.readSingleDocumentStreaming(kind, id.toString());
        verdict.put("fullyApplied", parsed.fullyApplied());
        ObjectNode fields = verdict.putObject("fields");
        if (parsed.operation() instanceof DocumentPut put) {
            var values = new TreeMap<String, String>();
            put.getDocument().iterator().forEachRemaining(
                entry -> values.put(entry.getKey().getName(), String.valueOf(entry.getValue().getWrappedValue())));
            values.forEach(fields::put);
        } else if (parsed.operation() instanceof DocumentUpdate update) {
            update.fieldUpdates().forEach(
                each -> fields.put(each.getField().getName(), each.getValueUpdates().toString()));
        }
    }
}
