import json
from pathlib import Path

import numpy as np
import pytest

from models.evaluation.diagnose import diagnose
from models.evaluation.finding import Finding


@pytest.fixture(scope="module")
def findings(bundle_path: Path, shop_path: Path, run_path: Path) -> dict[str, Finding]:
    return {f.signature: f for f in diagnose(bundle_path, shop_path, split="test", run=run_path, sample=120)}


def test_every_signature_has_a_verdict_and_says_what_to_try(findings: dict[str, Finding]) -> None:
    assert set(findings) == {
        "expert contributions",
        "history coverage",
        "history gain",
        "embedding collapse",
        "expert correlation",
        "false hard negatives",
        "hard negatives",
        "parity with torch",
        "parity of int8",
        "convergence of stage1",
        "convergence of stage2",
    }
    for found in findings.values():
        assert found.says
        assert bool(found.remedy) == (found.verdict in ("watch", "broken"))
        assert all(np.isfinite(v) or np.isnan(v) for v in found.figures.values())
    assert "NaN" not in json.dumps([f.as_dict() for f in findings.values()])


def test_figures_that_are_known_beforehand(findings: dict[str, Finding]) -> None:
    assert findings["parity with torch"].verdict == "fine"
    assert findings["parity of int8"].verdict == "unknown"  # this bundle has no int8 graph
    assert findings["history coverage"].figures["share with history"] > 0.5
    gates = [v for n, v in findings["expert contributions"].figures.items() if n.startswith("gate of")]
    assert sum(gates) == pytest.approx(1, abs=1e-3)
    # The judge graded the labels, so few of them can be wrong.
    assert findings["false hard negatives"].figures["labelled but relevant"] < 0.1
    # The tower of the fixture has hardly trained, so what was clicked and what was not lie close.
    assert findings["hard negatives"].figures["labelled within the margin"] > 0.1
    assert findings["hard negatives"].verdict == "fine"
    # The random experts of the bundle know nothing of each other.
    assert findings["expert correlation"].verdict == "fine"


def test_curves(findings: dict[str, Finding]) -> None:
    assert findings["convergence of stage1"].verdict == "fine"
    assert findings["convergence of stage2"].verdict == "watch"
    assert "still falls" in findings["convergence of stage2"].says


def test_without_a_run_convergence_is_unknown(bundle_path: Path, shop_path: Path) -> None:
    found = {f.signature: f.verdict for f in diagnose(bundle_path, shop_path, sample=50)}
    assert found["convergence"] == "unknown"
