package mrse.peer;

import ai.vespa.searchlib.searchprotocol.protobuf.SearchProtocol.DocsumRequest;
import ai.vespa.searchlib.searchprotocol.protobuf.SearchProtocol.MonitorReply;
import ai.vespa.searchlib.searchprotocol.protobuf.SearchProtocol.SearchReply;
import ai.vespa.searchlib.searchprotocol.protobuf.SearchProtocol.SearchRequest;
import com.google.protobuf.MessageLite;
import com.yahoo.compress.CompressionType;
import com.yahoo.compress.Compressor;
import com.yahoo.jrt.Acceptor;
import com.yahoo.jrt.DataValue;
import com.yahoo.jrt.ErrorCode;
import com.yahoo.jrt.Int32Value;
import com.yahoo.jrt.Int8Value;
import com.yahoo.jrt.ListenFailedException;
import com.yahoo.jrt.Method;
import com.yahoo.jrt.Request;
import com.yahoo.jrt.Spec;
import com.yahoo.jrt.Supervisor;
import com.yahoo.jrt.Target;
import com.yahoo.jrt.Transport;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** One content node: answers the dispatcher's ping, search and summary requests on loopback. */
final class ContentNode {

    private static final Compressor COMPRESSOR = new Compressor();

    private interface Answer {
        MessageLite to(byte[] payload) throws Exception;
    }

    final int key;
    private final Partition partition;
    private final Supervisor supervisor;
    private final Spec spec;
    private final Set<Target> connections = ConcurrentHashMap.newKeySet();
    private final ExecutorService workers = Executors.newCachedThreadPool(task -> {
        Thread thread = new Thread(task, "content-node");
        thread.setDaemon(true);
        return thread;
    });
    private Acceptor acceptor;

    ContentNode(int key, int slot, int slots) throws ListenFailedException {
        this.key = key;
        this.partition = new Partition(slot, slots);
        supervisor = new Supervisor(new Transport("node" + key, 1));
        supervisor.addMethod(method("ping", this::ping));
        supervisor.addMethod(method("search", this::search));
        supervisor.addMethod(method("getDocsums", this::summaries));
        acceptor = supervisor.listen(new Spec("127.0.0.1", 0));
        spec = new Spec("127.0.0.1", acceptor.port());
    }

    int port() {
        return spec.port();
    }

    /** Refuses connections and cuts those that are open. */
    synchronized void down() {
        if (acceptor != null) {
            acceptor.shutdown().join();
            acceptor = null;
        }
        connections.forEach(Target::close);
        connections.clear();
    }

    /** Listens again, on the same port. */
    synchronized void up() throws ListenFailedException {
        if (acceptor == null) {
            acceptor = supervisor.listen(spec);
        }
    }

    private Method method(String name, Answer answer) {
        return new Method("vespa.searchprotocol." + name, "bix", "bix", request -> {
            request.detach();
            connections.add(request.target());
            workers.execute(() -> answer(request, answer));
        });
    }

    private static void answer(Request request, Answer answer) {
        try {
            CompressionType type = CompressionType.valueOf(request.parameters().get(0).asInt8());
            int length = request.parameters().get(1).asInt32();
            byte[] payload = COMPRESSOR.decompress(request.parameters().get(2).asData(), type, length);
            byte[] reply = answer.to(payload).toByteArray();
            request.returnValues().add(new Int8Value(CompressionType.NONE.getCode()));
            request.returnValues().add(new Int32Value(reply.length));
            request.returnValues().add(new DataValue(reply));
        } catch (Exception error) {
            request.setError(ErrorCode.METHOD_FAILED, Messages.of(error));
        }
        request.returnRequest();
    }

    private MessageLite ping(byte[] payload) {
        long documents = partition.count();
        return MonitorReply.newBuilder().setOnline(true).setDistributionKey(key)
            .setActiveDocs(documents).setTargetActiveDocs(documents).build();
    }

    private MessageLite search(byte[] payload) throws Exception {
        Faults.INSTANCE.sleep(Faults.INSTANCE.of(key, "slow"));
        SearchRequest request = SearchRequest.parseFrom(payload);
        try {
            return new Search(request, partition.rows(request.getDocumentType()), key).reply();
        } catch (IllegalArgumentException error) {
            return failure(Messages.of(error));
        }
    }

    private MessageLite summaries(byte[] payload) throws Exception {
        Faults.INSTANCE.sleep(Faults.INSTANCE.of(key, "slow-summaries"));
        return Summaries.reply(DocsumRequest.parseFrom(payload), Faults.INSTANCE.of(key, "no-summaries") != null);
    }

    static SearchReply failure(String message) {
        SearchReply.Builder reply = SearchReply.newBuilder();
        reply.addErrorsBuilder().setMessage(message);
        return reply.build();
    }
}
