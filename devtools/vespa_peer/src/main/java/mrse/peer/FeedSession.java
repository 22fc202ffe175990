package mrse.peer;

import com.yahoo.document.Document;
import com.yahoo.document.DocumentId;
import com.yahoo.document.DocumentOperation;
import com.yahoo.document.DocumentPut;
import com.yahoo.document.DocumentRemove;
import com.yahoo.document.DocumentTypeManager;
import com.yahoo.document.DocumentUpdate;
import com.yahoo.document.TestAndSetCondition;
import com.yahoo.document.fieldset.FieldSetRepo;
import com.yahoo.document.select.DocumentSelector;
import com.yahoo.document.select.parser.ParseException;
import com.yahoo.documentapi.AsyncSession;
import com.yahoo.documentapi.DocumentOperationParameters;
import com.yahoo.documentapi.DocumentResponse;
import com.yahoo.documentapi.RemoveResponse;
import com.yahoo.documentapi.Response;
import com.yahoo.documentapi.Result;
import com.yahoo.documentapi.UpdateResponse;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongFunction;

/** Where document/v1 ends up: the store, with conditions as content nodes test them, and faults. */
final class FeedSession implements AsyncSession {

    private static final Map<String, Response.Outcome> FAULTS = Map.of(
        "overload", Response.Outcome.OVERLOAD,
        "full", Response.Outcome.INSUFFICIENT_STORAGE,
        "timeout", Response.Outcome.TIMEOUT,
        "error", Response.Outcome.ERROR);

    private final DocumentTypeManager types;
    private final AtomicLong requests = new AtomicLong();
    private final ExecutorService workers = Executors.newFixedThreadPool(8, task -> {
        Thread thread = new Thread(task, "feed");
        thread.setDaemon(true);
        return thread;
    });

    FeedSession(DocumentTypeManager types) {
        this.types = types;
    }

    @Override
    public Result put(Document document) {
        return put(new DocumentPut(document), DocumentOperationParameters.parameters());
    }

    @Override
    public Result put(DocumentPut put, DocumentOperationParameters parameters) {
        return answer(parameters, true, id -> {
            synchronized (lock(put.getId())) {
                Row old = Store.INSTANCE.get(put.getId());
                if (!holds(put, old, put.getCreateIfNonExistent())) {
                    return refused(id);
                }
                Store.INSTANCE.put(new Row(put.getDocument()));
                return new DocumentResponse(id, put.getDocument());
            }
        });
    }

    @Override
    public Result get(DocumentId document) {
        return get(document, DocumentOperationParameters.parameters());
    }

    @Override
    public Result get(DocumentId document, DocumentOperationParameters parameters) {
        return answer(parameters, false, id -> {
            Row row = Store.INSTANCE.get(document);
            if (row == null) {
                return new DocumentResponse(id, null, "no such document", Response.Outcome.NOT_FOUND);
            }
            Document copy = new Document(row.document.getDataType(), document);
            FieldSetRepo fields = new FieldSetRepo();
            fields.copyFields(row.document, copy, fields.parse(types, parameters.fieldSet().orElse("[all]")));
            return new DocumentResponse(id, copy);
        });
    }

    @Override
    public Result remove(DocumentId document) {
        return remove(new DocumentRemove(document), DocumentOperationParameters.parameters());
    }

    @Override
    public Result remove(DocumentRemove remove, DocumentOperationParameters parameters) {
        return answer(parameters, true, id -> {
            synchronized (lock(remove.getId())) {
                if (!holds(remove, Store.INSTANCE.get(remove.getId()), false)) {
                    return refused(id);
                }
                return new RemoveResponse(id, Store.INSTANCE.remove(remove.getId()));
            }
        });
    }

    @Override
    public Result update(DocumentUpdate update) {
        return update(update, DocumentOperationParameters.parameters());
    }

    @Override
    public Result update(DocumentUpdate update, DocumentOperationParameters parameters) {
        return answer(parameters, true, id -> {
            synchronized (lock(update.getId())) {
                Row old = Store.INSTANCE.get(update.getId());
                if (!holds(update, old, update.getCreateIfNonExistent())) {
                    return refused(id);
                }
                if (old == null && !update.getCreateIfNonExistent()) {
                    return new UpdateResponse(id, false);
                }
                Document changed = old == null ? new Document(update.getDocumentType(), update.getId()) : old.document.clone();
                update.applyTo(changed);
                Store.INSTANCE.put(new Row(changed));
                return new UpdateResponse(id, true);
            }
        });
    }

    @Override
    public double getCurrentWindowSize() {
        return 1000;
    }

    @Override
    public Response getNext() {
        throw new UnsupportedOperationException("answers go to the response handler");
    }

    @Override
    public Response getNext(int timeout) {
        return getNext();
    }

    @Override
    public void destroy() {
        workers.shutdown();
    }

    private Result answer(DocumentOperationParameters parameters, boolean writes, LongFunction<Response> operation) {
        long id = requests.incrementAndGet();
        workers.execute(() -> {
            Response response;
            try {
                response = writes ? fault(id) : null;
                if (response == null) {
                    response = operation.apply(id);
                }
            } catch (RuntimeException error) {
                response = new Response(id, Messages.of(error), Response.Outcome.ERROR);
            }
            parameters.responseHandler().orElseThrow().handleResponse(response);
        });
        return new Result(id);
    }

    private static Response fault(long id) {
        Faults.INSTANCE.sleep(Faults.INSTANCE.feed("slow"));
        for (Map.Entry<String, Response.Outcome> each : FAULTS.entrySet()) {
            Faults.Fault fault = Faults.INSTANCE.feed(each.getKey());
            if (fault != null && ThreadLocalRandom.current().nextDouble() < fault.amount()) {
                return new Response(id, fault.message(), each.getValue());
            }
        }
        return null;
    }

    private static Response refused(long id) {
        return new Response(id, "the condition does not hold", Response.Outcome.CONDITION_FAILED);
    }

    /** One lock a document, out of a fixed number. */
    private static final Object[] LOCKS = new Object[256];

    static {
        for (int i = 0; i < LOCKS.length; i++) {
            LOCKS[i] = new Object();
        }
    }

    private static Object lock(DocumentId id) {
        return LOCKS[Math.floorMod(id.hashCode(), LOCKS.length)];
    }

    /** A missing document fails a condition, unless the operation may create it. */
    private static boolean holds(DocumentOperation operation, Row row, boolean create) {
        TestAndSetCondition condition = operation.getCondition();
        if (!condition.isPresent()) {
            return true;
        }
        try {
            DocumentSelector selector = new DocumentSelector(condition.getSelection());
            return row == null
                ? create
                : selector.accepts(new DocumentPut(row.document)) == com.yahoo.document.select.Result.TRUE;
        } catch (ParseException error) {
            throw new IllegalArgumentException(error);
        }
    }
}
