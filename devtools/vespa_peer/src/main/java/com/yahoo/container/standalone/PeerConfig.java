package com.yahoo.container.standalone;

import com.yahoo.io.IOUtils;
import com.yahoo.vespa.model.VespaModel;
import com.yahoo.vespa.model.container.xml.ContainerModelBuilder.Networking;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/** The peer's way to what is visible in this package only. */
public final class PeerConfig {

    private PeerConfig() {}

    /** Where the dispatcher finds the content nodes: port by distribution key. */
    public static void nodes(Map<Integer, Integer> portsByKey) {
        StandaloneSubscriberFactory.nodes(portsByKey);
    }

    /** Hands the running container a new generation of config. */
    public static void deploy(Path application, VespaModel model) throws Exception {
        File scratch = Files.createTempDirectory("vespa-peer").toFile();
        try {
            StandaloneSubscriberFactory.deploy(StandaloneContainerApplication.createContainerModel(
                application, new LocalFileDb(application), scratch, Networking.enable, model.configModelRepo()).getFirst());
        } finally {
            IOUtils.recursiveDeleteDir(scratch);
        }
    }
}
