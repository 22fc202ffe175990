"""What the verbs hand to each other: shop, bundle, cache values. Free of torch."""

import os

# From 1.29 on onnxruntime reports every session to its vendor unless this is set before its first import;
# here, because every module that imports it is below or imports something that is. Who sets it is heard.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
