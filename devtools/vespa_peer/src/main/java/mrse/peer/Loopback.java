package mrse.peer;

import com.yahoo.container.Container;
import com.yahoo.jdisc.http.server.jetty.JettyHttpServer;
import com.yahoo.jdisc.service.ServerProvider;
import java.lang.reflect.Field;
import java.net.InetAddress;
import java.net.ServerSocket;
import org.eclipse.jetty.server.Connector;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;

/** Keeps the peer on 127.0.0.1: Vespa's HTTP server binds every interface. */
final class Loopback {

    private Loopback() {}

    /** The port asked for, or a free one for 0. */
    static int port(int asked) throws Exception {
        if (asked != 0) {
            return asked;
        }
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }

    /** Reopens the connectors of the running container on loopback. */
    static void bind() throws Exception {
        for (ServerProvider provider : Container.get().getServerProviderRegistry().allComponents()) {
            if (provider instanceof JettyHttpServer jetty) {
                Field field = JettyHttpServer.class.getDeclaredField("server");
                field.setAccessible(true);
                for (Connector connector : ((Server) field.get(jetty)).getConnectors()) {
                    ServerConnector each = (ServerConnector) connector;
                    each.stop();
                    each.setHost("127.0.0.1");
                    each.start();
                }
            }
        }
    }
}
