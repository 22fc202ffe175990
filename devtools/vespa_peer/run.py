"""Serves an application package through the peer: a development aid for machines without Docker.

The container is Vespa's own; the content nodes are ours, search exactly and keep everything in memory, so
nothing measured here says anything about Vespa's speed or about its recall.

    python -m devtools.vespa_peer.run --package FOLDER --port 8090
    python -m devtools.vespa_peer.run --package FOLDER --embeddings EMBEDDINGS --port 8090 -- COMMAND …

With ``--embeddings`` (what `mrse embed` wrote) the package is given that version first. COMMAND runs beside
the peer, with its addresses in ``MRSE_VESPA_URL`` and ``VESPA_CONFIG_URL``; the peer ends with it.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from artifacts.embeddings import EmbeddingsFolder
from devtools.vespa_peer.build import ArtifactsMissingError, missing
from devtools.vespa_peer.peer import Peer, start_peer
from index.port import TITLE
from index.vespa.package.render import add_version, application_folder, with_titles
from index.vespa.version import Version


def main(arguments: list[str] | None = None) -> int:
    """Run until Ctrl-C, or until the command ends; its exit status, or 2 where the peer cannot run."""
    parser = argparse.ArgumentParser(
        prog="python -m devtools.vespa_peer.run", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--package", type=Path, required=True, help="package folder, or what is deployed of it"
    )
    parser.add_argument("--embeddings", type=Path, help="folder of `mrse embed`: its version is added first")
    parser.add_argument("--port", type=int, default=0, help="of queries and document/v1; default: a free one")
    parser.add_argument("--nodes", type=int, default=1, help="content nodes (default: 1)")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- COMMAND … to run beside the peer")
    options = parser.parse_args(arguments)
    reason = missing()
    if reason is not None:
        print(reason, file=sys.stderr)
        return 2
    if options.embeddings is not None:
        folder = EmbeddingsFolder.open(options.embeddings)
        version = Version.from_embeddings(folder)
        if TITLE in folder.meta.text_fields:
            version = with_titles(options.package, version)
        application = add_version(options.package, version)
    elif (options.package / "services.xml").is_file():
        application = options.package
    else:
        application = application_folder(options.package)
    print("Starting Vespa's container (the first time it is built, which takes a minute) …", flush=True)
    try:
        with start_peer(application, nodes=options.nodes, port=options.port) as peer:
            print(f"Vespa peer: queries and feed at {peer.url}, deployments at {peer.config_url}")
            print("A development aid: content nodes of ours that search exactly, in memory.", flush=True)
            return _beside(peer, options.command[1:] if options.command[:1] == ["--"] else options.command)
    except ArtifactsMissingError as error:
        print(error, file=sys.stderr)
        return 2


def _beside(peer: Peer, command: list[str]) -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if not command:
        stop.wait()
        return 0
    environment = {**os.environ, "MRSE_VESPA_URL": peer.url, "VESPA_CONFIG_URL": peer.config_url}
    with subprocess.Popen(command, env=environment) as child:
        while child.poll() is None:
            if stop.wait(0.2):
                child.terminate()
                stop.clear()
        return 0 if child.returncode in (-signal.SIGTERM, -signal.SIGINT) else child.returncode


if __name__ == "__main__":
    sys.exit(main())
