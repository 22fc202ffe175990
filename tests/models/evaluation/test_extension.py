"""A measure that an extension registers, without any other edit, is in JSON, page and terminal."""

import json
import os
import subprocess
import sys
from pathlib import Path

_EXTENSION = """
import numpy as np

from models.evaluation import Measure, register



def found(answers):
    return ((answers.ranks > 0) & (answers.ranks <= 5)).astype(np.float64)


register(Measure("Found@5", "query", found, shown=True))
"""
_MRSE = "from cli.main import main; main()"


def test_a_measure_of_an_extension_is_measured_and_shown(
    bundle_path: Path, shop_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "acme_measures.py").write_text(_EXTENSION)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", ""), str(Path.cwd())])
    environment = {**os.environ, "PYTHONPATH": path, "MRSE_EXTENSIONS": "acme_measures", "COLUMNS": "200"}
    page = tmp_path / "report.html"

    def evaluate(*options: str) -> str:
        command = ["evaluate", str(shop_path), "--bundle", str(bundle_path), "--split", "test", *options]
        return subprocess.run(
            [sys.executable, "-c", _MRSE, *command, "--resamples", "100"],
            env=environment, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    told = json.loads(evaluate("--json"))
    assert told["units"]["Found@5"] == "query"
    row = next(r for r in told["slices"] if (r["slice"], r["system"]) == ("text", told["bundle"]))
    assert row["Recall@1"]["value"] <= row["Found@5"]["high"]
    assert 0 < row["Found@5"]["value"] < row["Recall@100"]["value"]
    assert any(c["measure"] == "Found@5" for c in told["comparisons"])
    shown = evaluate("--report", str(page))
    assert "Found" in shown
    assert "±." in shown
    assert "dim" not in shown
    assert "<th>Found@5</th>" in page.read_text()
