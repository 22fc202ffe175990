"""``make run-vespa``: the demo shop behind the service, its items in Vespa's container over the peer's nodes.

    python -m devtools.vespa_peer.demo --dir .run --port 8080

A development aid: it shows the Vespa path work on a machine without Docker. Search is exact and in memory, so
nothing that is measured here says anything about Vespa.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from pathlib import Path

from cli.commands.demo import prepare
from cli.console import progress
from cli.demo_files import demo_bundle
from devtools.vespa_peer import run
from index.vespa.names import document_type


def main() -> int:
    """Prepare shop and embeddings, start the peer, feed it, serve; until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m devtools.vespa_peer.demo")
    parser.add_argument("--dir", type=Path, default=Path(".run"))
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--items", type=int, default=4000)
    options = parser.parse_args()
    bundle = demo_bundle()
    options.dir.mkdir(parents=True, exist_ok=True)
    with progress() as report:
        prepare(options.dir, bundle, options.items, report)
    package, embeddings = options.dir / "vespa-package", options.dir / "embeddings"
    # The peer keeps its documents in memory: every start feeds anew.
    shutil.rmtree(package, ignore_errors=True)
    journal = options.dir / "vespa-feed.journal"
    journal.unlink(missing_ok=True)
    version = package / "versions" / f"{document_type(bundle.name)}.json"
    mrse = f"{shlex.quote(sys.executable)} -c 'from cli.main import main; main()'"
    folder, into, at, graphs, kept = (
        shlex.quote(str(path)) for path in (embeddings, package, version, bundle, journal)
    )
    feed = f"vespa feed {folder} --package {into} --endpoint $MRSE_VESPA_URL --journal {kept}"
    serve = f"serve --bundle {graphs} --index {at} --port {options.port}"
    ask = f"curl -s http://127.0.0.1:{options.port}/recall -H 'Content-Type: application/json' -d "
    hint = shlex.quote(ask + shlex.quote('{"query": "red running shoes", "k": 10}'))
    script = f"{mrse} {feed} && echo {hint} && MRSE_INDEX_ENGINE=vespa exec {mrse} {serve}"
    return run.main(["--package", str(package), "--embeddings", str(embeddings), "--", "sh", "-c", script])


if __name__ == "__main__":
    sys.exit(main())
