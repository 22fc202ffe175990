package com.yahoo.container.standalone;

import com.yahoo.config.ConfigInstance;
import com.yahoo.config.subscription.ConfigInterruptedException;
import com.yahoo.config.subscription.SubscriberClosedException;
import com.yahoo.container.QrSearchersConfig;
import com.yahoo.container.di.config.Subscriber;
import com.yahoo.container.di.config.SubscriberFactory;
import com.yahoo.vespa.config.ConfigKey;
import com.yahoo.vespa.config.search.DispatchNodesConfig;
import com.yahoo.vespa.model.VespaModel;
import java.lang.reflect.InvocationTargetException;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;

/**
 * Stands before Vespa's class of this name on the class path. Vespa's serves one generation of config for
 * ever; this one serves a new generation whenever a package is deployed, so that the container reconfigures
 * itself as it does under a config server. It also points the dispatcher at the peer's content nodes.
 */
public class StandaloneSubscriberFactory implements SubscriberFactory {

    private record Deployed(long generation, VespaModel model) {}

    private static final Object MONITOR = new Object();
    private static Deployed deployed;
    /** Port of a content node by its distribution key. */
    private static volatile Map<Integer, Integer> ports = Map.of();

    public StandaloneSubscriberFactory(VespaModel model) {
        deploy(model);
    }

    static void nodes(Map<Integer, Integer> portsByKey) {
        ports = Map.copyOf(portsByKey);
    }

    static void deploy(VespaModel model) {
        synchronized (MONITOR) {
            deployed = new Deployed(deployed == null ? 0 : deployed.generation() + 1, model);
            MONITOR.notifyAll();
        }
    }

    @Override
    @SuppressWarnings("unchecked")
    public Subscriber getSubscriber(Set<? extends ConfigKey<?>> keys, String name) {
        return new Generations((Set<ConfigKey<ConfigInstance>>) keys);
    }

    @Override
    public void reloadActiveSubscribers(long generation) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void close() {}

    private static final class Generations implements Subscriber {

        private final Set<ConfigKey<ConfigInstance>> keys;
        private Deployed current = new Deployed(-1, null);
        private boolean changed;
        private boolean closed;

        Generations(Set<ConfigKey<ConfigInstance>> keys) {
            this.keys = keys;
        }

        @Override
        public long waitNextGeneration(boolean isInitializing) {
            synchronized (MONITOR) {
                try {
                    while (!closed && deployed.generation() <= current.generation()) {
                        MONITOR.wait();
                    }
                } catch (InterruptedException error) {
                    throw new ConfigInterruptedException(error);
                }
                if (closed) {
                    throw new SubscriberClosedException();
                }
                current = deployed;
                changed = true;
                return current.generation();
            }
        }

        @Override
        public long generation() {
            return current.generation();
        }

        @Override
        public boolean configChanged() {
            return changed;
        }

        @Override
        public boolean applyOnRestart() {
            return false;
        }

        @Override
        public Map<ConfigKey<ConfigInstance>, ConfigInstance> config() {
            Map<ConfigKey<ConfigInstance>, ConfigInstance> configs = new HashMap<>();
            keys.forEach(key -> configs.put(key, read(current.model(), key)));
            return configs;
        }

        @Override
        public void close() {
            synchronized (MONITOR) {
                closed = true;
                MONITOR.notifyAll();
            }
        }
    }

    private static ConfigInstance read(VespaModel model, ConfigKey<ConfigInstance> key) {
        Class<ConfigInstance> type = key.getConfigClass();
        try {
            Class<?> builderClass = Class.forName(type.getName() + "$Builder", true, type.getClassLoader());
            var builder = (ConfigInstance.Builder) builderClass.getDeclaredConstructor().newInstance();
            builder = model.getConfig(builder, key.getConfigId());
            if (builder instanceof DispatchNodesConfig.Builder dispatch) {
                dispatch.node.forEach(StandaloneSubscriberFactory::redirect);
            } else if (builder instanceof QrSearchersConfig.Builder searchers) {
                searchers.sendProtobufQuerytree(true);
            }
            return type.getConstructor(builderClass).newInstance(builder);
        } catch (InvocationTargetException error) {
            throw new IllegalStateException("config " + key, error.getCause());
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException("config " + key, error);
        }
    }

    private static void redirect(DispatchNodesConfig.Node.Builder node) {
        int key = node.build().key();
        node.host("127.0.0.1").port(ports.getOrDefault(key, 1));
    }
}
