package mrse.peer;

import com.yahoo.config.application.api.DeployLogger;
import com.yahoo.config.application.api.ValidationOverrides;
import com.yahoo.config.model.NullConfigModelRegistry;
import com.yahoo.config.model.api.ConfigChangeAction;
import com.yahoo.config.model.api.ValidationParameters;
import com.yahoo.config.model.application.provider.FilesApplicationPackage;
import com.yahoo.config.model.deploy.DeployState;
import com.yahoo.config.model.deploy.TestProperties;
import com.yahoo.vespa.model.VespaModel;
import com.yahoo.vespa.model.application.validation.Validation;
import java.io.File;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Builds Vespa's model of an application package and runs Vespa's validators over it. */
final class Models {

    /** A model that Vespa accepts, what it warned of and what a deployment of it would bring about. */
    record Verdict(VespaModel model, List<String> warnings, List<String> actions) {}

    /** The validator that needs Vespa's C++ binary warns of its absence, always. */
    private static final String NEEDS_BINARY = "vespa-verify-ranksetup-bin";

    private Models() {}

    /** Five seconds of dispatch warm-up serve nobody here. */
    private static final class Properties extends TestProperties {
        @Override
        public double queryDispatchWarmup() {
            return 0.01;
        }
    }

    /**
     * Vespa's verdict on a package.
     *
     * @param previous the model that runs now, or null
     * @throws Exception whatever Vespa raises: its message is the verdict
     */
    static Verdict validate(File folder, VespaModel previous) throws Exception {
        List<String> warnings = new ArrayList<>();
        DeployLogger logger = (level, message) -> {
            if (level.intValue() >= java.util.logging.Level.WARNING.intValue() && !message.contains(NEEDS_BINARY)) {
                warnings.add(message);
            }
        };
        FilesApplicationPackage application = FilesApplicationPackage.fromDir(folder, Map.of());
        application.validateXML();
        DeployState.Builder builder = new DeployState.Builder()
            .applicationPackage(application)
            .deployLogger(logger)
            .properties(new Properties());
        Optional<java.io.Reader> overrides = application.getValidationOverrides();
        if (overrides.isPresent()) {
            builder.validationOverrides(ValidationOverrides.fromXml(overrides.get()));
        }
        if (previous != null) {
            builder.previousModel(previous);
        }
        DeployState state = builder.build();
        VespaModel model = new VespaModel(new NullConfigModelRegistry(), state);
        List<ConfigChangeAction> changes = new Validation().validate(model, new ValidationParameters(), state);
        return new Verdict(model, warnings, changes.stream().map(Models::describe).toList());
    }

    private static String describe(ConfigChangeAction action) {
        String id = action.validationId().map(each -> each.value() + ": ").orElse("");
        return action.getType() + " " + id + action.getMessage();
    }
}
