package com.yahoo.container.core.documentapi;

import com.yahoo.component.annotation.Inject;
import com.yahoo.container.di.componentgraph.Provider;
import com.yahoo.document.config.DocumentmanagerConfig;
import com.yahoo.documentapi.AsyncParameters;
import com.yahoo.documentapi.AsyncSession;
import com.yahoo.messagebus.MessagebusConfig;
import mrse.peer.Feeding;

/**
 * Stands before Vespa's class of this name on the class path: document/v1 writes to the peer's store and
 * not to a message bus.
 */
public class DocumentAccessProvider implements Provider<VespaDocumentAccess> {

    private final VespaDocumentAccess access;

    @Inject
    public DocumentAccessProvider(DocumentmanagerConfig documents, MessagebusConfig bus) {
        access = new VespaDocumentAccess(documents, System.getProperty("config.id"), bus) {
            @Override
            public AsyncSession createAsyncSession(AsyncParameters parameters) {
                return Feeding.session(getDocumentTypeManager());
            }
        };
    }

    @Override
    public VespaDocumentAccess get() {
        return access;
    }

    @Override
    public void deconstruct() {
        access.protectedShutdown();
    }
}
