package mrse.peer;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import javax.xml.parsers.DocumentBuilderFactory;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;

/**
 * A package as the peer can run it: its schemas and query profiles as they are, but one container for
 * queries and feed alike and one host, since that is all that Vespa's container runs outside a cluster.
 */
final class Application {

    final Path path;
    final List<String> documentTypes;

    private Application(Path path, List<String> documentTypes) {
        this.path = path;
        this.documentTypes = documentTypes;
    }

    /** Copies a package and rewrites what must be other. */
    static Application of(Path source, Path scratch, int port, int groups, int nodesPerGroup) throws Exception {
        Path target = Files.createTempDirectory(scratch, "application");
        copy(source, target);
        Document services = DocumentBuilderFactory.newInstance().newDocumentBuilder()
            .parse(source.resolve("services.xml").toFile());
        List<String> types = documentTypes(services);
        Files.writeString(target.resolve("services.xml"), services(types, services, port, groups, nodesPerGroup));
        Files.writeString(target.resolve("hosts.xml"), "<hosts><host name='localhost'><alias>node1</alias></host></hosts>");
        return new Application(target, types);
    }

    private static void copy(Path source, Path target) throws IOException {
        try (Stream<Path> files = Files.walk(source)) {
            for (Path file : files.toList()) {
                Path to = target.resolve(source.relativize(file).toString());
                if (Files.isDirectory(file)) {
                    Files.createDirectories(to);
                } else {
                    Files.copy(file, to);
                }
            }
        }
    }

    private static List<String> documentTypes(Document services) {
        List<String> types = new ArrayList<>();
        NodeList documents = services.getElementsByTagName("document");
        for (int i = 0; i < documents.getLength(); i++) {
            types.add(((Element) documents.item(i)).getAttribute("type"));
        }
        return types;
    }

    private static String contentId(Document services) {
        return ((Element) services.getElementsByTagName("content").item(0)).getAttribute("id");
    }

    /** How much coverage the package asks for, as it stands there. */
    private static String coverage(Document services) {
        NodeList found = services.getElementsByTagName("coverage");
        if (found.getLength() == 0) {
            return "";
        }
        StringBuilder xml = new StringBuilder("<search><coverage>");
        NodeList limits = found.item(0).getChildNodes();
        for (int i = 0; i < limits.getLength(); i++) {
            if (limits.item(i) instanceof Element limit) {
                xml.append("<").append(limit.getTagName()).append(">").append(limit.getTextContent().trim())
                    .append("</").append(limit.getTagName()).append(">");
            }
        }
        return xml.append("</coverage></search>").toString();
    }

    private static String services(List<String> types, Document declared, int port, int groups, int nodesPerGroup) {
        StringBuilder xml = new StringBuilder("<services version='1.0'>")
            .append("<container id='default' version='1.0'><search/><document-api/>")
            .append("<http><server id='default' port='").append(port).append("'/></http>")
            .append("<nodes><node hostalias='node1'/></nodes></container>")
            .append("<content id='").append(contentId(declared)).append("' version='1.0'>")
            .append("<min-redundancy>").append(groups).append("</min-redundancy><documents>");
        types.forEach(type -> xml.append("<document type='").append(type).append("' mode='index'/>"));
        xml.append("</documents>");
        if (groups > 1) {
            xml.append("<group><distribution partitions='").append("1|".repeat(groups - 1)).append("*'/>");
        } else {
            xml.append("<nodes>");
        }
        for (int key = 0, group = 0; group < groups; group++) {
            if (groups > 1) {
                xml.append("<group name='g").append(group).append("' distribution-key='").append(group).append("'>");
            }
            for (int i = 0; i < nodesPerGroup; i++, key++) {
                xml.append("<node hostalias='node1' distribution-key='").append(key).append("'/>");
            }
            if (groups > 1) {
                xml.append("</group>");
            }
        }
        return xml.append(groups > 1 ? "</group>" : "</nodes>").append(coverage(declared)).append("</content></services>").toString();
    }
}
