"""The development aid as it is started by hand: from a folder of its own, with relative paths."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from devtools.embeddings import make_embeddings
from tests.support.vespa_peer import VERSION, require_peer

ROOT = Path(__file__).parents[4]
#: What runs beside the peer: asks it for the number of items.
ASK = f"""
import json, os, urllib.parse, urllib.request
query = urllib.parse.urlencode({{"yql": "select * from {VERSION.document_type} where true", "hits": 0}})
with urllib.request.urlopen(os.environ["MRSE_VESPA_URL"] + "/search/?" + query) as answer:
    print("items", json.load(answer)["root"]["fields"]["totalCount"])
"""


def test_a_package_is_rendered_and_served(tmp_path: Path) -> None:
    require_peer()
    make_embeddings(tmp_path / "embeddings", rows=3, bundle_version=VERSION.bundle_version)
    run = [
        sys.executable,
        "-m",
        "devtools.vespa_peer.run",
        "--package",
        "package",
        "--embeddings",
        "embeddings",
    ]
    done = subprocess.run(
        [*run, "--", sys.executable, "-c", ASK],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "items 0" in done.stdout
