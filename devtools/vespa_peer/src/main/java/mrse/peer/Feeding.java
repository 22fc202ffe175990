package mrse.peer;

import com.yahoo.document.DocumentTypeManager;
import com.yahoo.documentapi.AsyncSession;

/** What the class that shadows Vespa's document access provider may see of the peer. */
public final class Feeding {

    private Feeding() {}

    /** A session that writes to the peer's store. */
    public static AsyncSession session(DocumentTypeManager types) {
        return new FeedSession(types);
    }
}
