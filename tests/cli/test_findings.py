"""What ``mrse doctor`` finds."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.support.command import mrse


def test_doctor_shows_no_terminal_codes(tmp_path: Path) -> None:
    maven = tmp_path / "mvn"
    maven.write_text("#!/bin/sh\nprintf '\\033[1mApache Maven 3.9.9\\033[m\\n'\n")
    maven.chmod(0o755)
    done = mrse("doctor", "--json", PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    findings = json.loads(done.stdout)["findings"]
    assert [f["found"] for f in findings if f["what"].startswith("mvn")] == ["Apache Maven 3.9.9"]


def test_doctor_finds_both_onnxruntimes(tmp_path: Path) -> None:
    """The two packages overwrite each other; a second one's metadata is all that can be seen of it."""
    for name in ("onnxruntime", "onnxruntime_gpu"):
        folder = tmp_path / f"{name}-9.9.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 9.9\n"
        )
    done = mrse("doctor", "--json", path=tmp_path)
    finding = next(f for f in json.loads(done.stdout)["findings"] if f["what"] == "onnxruntime")
    assert done.returncode == 1
    assert finding["state"] == "broken"
    assert "one extra" in finding["remedy"]
