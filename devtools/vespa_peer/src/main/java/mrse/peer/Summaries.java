package mrse.peer;

import ai.vespa.searchlib.searchprotocol.protobuf.SearchProtocol.DocsumReply;
import ai.vespa.searchlib.searchprotocol.protobuf.SearchProtocol.DocsumRequest;
import com.google.protobuf.ByteString;
import com.yahoo.document.GlobalId;
import com.yahoo.slime.BinaryFormat;
import com.yahoo.slime.Cursor;
import com.yahoo.slime.Slime;
import com.yahoo.tensor.Tensor;
import com.yahoo.tensor.serialization.TypedBinaryFormat;
import com.yahoo.vespa.config.search.SummaryConfig;
import java.util.List;

/** Document summaries, in Vespa's slime. */
final class Summaries {

    private Summaries() {}

    static DocsumReply reply(DocsumRequest request, boolean empty) {
        String summary = request.getSummaryClass().isEmpty() ? "default" : request.getSummaryClass();
        List<SummaryConfig.Classes.Fields> fields = Schemas.INSTANCE.get(request.getDocumentType()).summaries().get(summary);
        Slime slime = new Slime();
        Cursor root = slime.setObject();
        if (fields != null && !empty) {
            Cursor list = root.setArray("docsums");
            for (ByteString gid : request.getGlobalIdsList()) {
                Cursor entry = list.addObject();
                Row row = Store.INSTANCE.get(request.getDocumentType(), new GlobalId(gid.toByteArray()));
                if (row != null) {
                    write(row, fields, entry.setObject("docsum"));
                }
            }
        }
        return DocsumReply.newBuilder().setSlimeSummaries(ByteString.copyFrom(BinaryFormat.encode(slime))).build();
    }

    private static void write(Row row, List<SummaryConfig.Classes.Fields> fields, Cursor summary) {
        for (SummaryConfig.Classes.Fields field : fields) {
            if (field.command().equals("documentid")) {
                summary.setString(field.name(), row.document.getId().toString());
                continue;
            }
            Object value = row.value(field.source().isEmpty() ? field.name() : field.source());
            if (value instanceof Tensor tensor) {
                summary.setData(field.name(), TypedBinaryFormat.encode(tensor));
            } else if (value instanceof Boolean flag) {
                summary.setBool(field.name(), flag);
            } else if (value instanceof Double || value instanceof Float) {
                summary.setDouble(field.name(), ((Number) value).doubleValue());
            } else if (value instanceof Number number) {
                summary.setLong(field.name(), number.longValue());
            } else if (value instanceof List<?> elements) {
                Cursor array = summary.setArray(field.name());
                elements.forEach(each -> array.addString(each.toString()));
            } else if (value != null) {
                summary.setString(field.name(), value.toString());
            }
        }
    }
}
