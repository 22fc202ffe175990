"""The development aid as it is started by hand: from a folder of its own, with relative paths.

What runs beside it are the examples of the commands for Vespa, as a rollout has them: a version beside the
one that serves is deployed, fed, verified, given traffic, and dropped.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from devtools.embeddings import make_embeddings
from devtools.pages import ROOT, examples
from index.vespa.names import document_type
from tests.support.vespa_peer import VERSION, require_peer

BEFORE = "demo-00000000"
#: In the order of a rollout.
EXAMPLES = (
    *("vespa add-version", "vespa diff", "vespa deploy", "vespa feed", "vespa lines", "vespa prune"),
    *("vespa verify", "vespa switch", "vespa drop"),
)
#: What the examples have, and what this machine has in its place. Only an arm without traffic can be dropped.
HERE = {
    "http://localhost:19071": "$VESPA_CONFIG_URL",
    "--config-server URL": "--config-server $VESPA_CONFIG_URL",
    "http://localhost:8080": "$MRSE_VESPA_URL",
    "--pid 4711": "--pid $SERVICE",
    "mrse vespa drop": "mrse vespa switch treatment=0 --config mrse.toml\nmrse vespa drop",
}
#: Runs lines of a terminal in this process, for a dozen would take longer to start than to run.
RUN = """
import os, shlex, sys
from cli.main import build
app = build()
for line in sys.argv[1].splitlines():
    print(line)
    try:
        app(shlex.split(os.path.expandvars(line))[1:])
    except SystemExit as end:
        if end.code:
            raise
"""
#: Whoever runs the tests may have SIGHUP ignored, as under nohup.
SERVICE = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)
print("ready", flush=True)
signal.pause()
"""
CONFIG = """
[index]
engine = "vespa"
path = "vespa-package/versions/{before}.json"
[experiments.towers.control]
weight = 100
[experiments.towers.treatment]
weight = 0
bundle = "bundle"
index = "vespa-package/versions/{after}.json"
"""


def test_a_version_is_rolled_out_and_dropped_by_the_examples(tmp_path: Path) -> None:
    require_peer()
    make_embeddings(tmp_path / "before", rows=3, bundle_version=BEFORE)
    make_embeddings(tmp_path / "embeddings", rows=30, bundle_version=VERSION.bundle_version)
    types = {"before": document_type(BEFORE), "after": VERSION.document_type}
    (tmp_path / "mrse.toml").write_text(CONFIG.format(**types))
    lines = "\n".join(examples()[name] for name in EXAMPLES)
    for said, here in HERE.items():
        assert said in lines
        lines = lines.replace(said, here)
    peer = ["-m", "devtools.vespa_peer.run", "--package", "vespa-package", "--embeddings", "before"]
    # Ends by SIGHUP, which tells a service to read its configuration again.
    with subprocess.Popen([sys.executable, "-c", SERVICE], stdout=subprocess.PIPE) as service:
        assert service.stdout is not None
        service.stdout.readline()
        done = subprocess.run(
            [sys.executable, *peer, "--", sys.executable, "-W", "error", "-c", RUN, lines],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200", "SERVICE": str(service.pid)},
            capture_output=True,
            text=True,
            check=False,
        )
        told = service.poll()
        service.kill()
    assert done.returncode == 0, done.stdout + done.stderr
    assert told == -signal.SIGHUP
    puts = [json.loads(line)["put"] for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert len(puts) == 30
    assert all(put.startswith(f"id:mrse:{types['after']}::") for put in puts)
    assert [file.stem for file in (tmp_path / "vespa-package/versions").glob("*.json")] == [types["before"]]
    assert "treatment" not in (tmp_path / "mrse.toml").read_text()
