"""An experiment from its files to its verdict and its page."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artifacts.exposures import client_id
from models.experiment import report
from models.experiment.exposures import ExposuresError
from models.experiment.outcomes import OutcomesError
from models.experiment.page import write_page
from models.experiment.report import ReportError

START = datetime(2026, 11, 2, tzinfo=UTC)
UNITS = 3000


def event(user: int, answer: int, arm: str, **attributes: Any) -> dict[str, Any]:
    at = START + timedelta(hours=(user * 7 + answer * 31) % 160)
    hits = [f"i{n}" for n in range(10)] if arm == "control" else [f"i{n}" for n in range(5, 15)]
    return {
        "format": 1,
        "application": "mrse-recall",
        "query_id": f"r{user}.{answer}",
        "client_id": client_id(f"u{user}", "key"),
        "timestamp": at.isoformat(),
        "query_response_hit_ids": hits,
        "query_attributes": {
            "unit": "user", "query_hash": f"q{answer}", "arms": {"towers": "only", "merge": arm},
            "forced": [],
            "shares": {"towers": 1.0, "merge": 0.5}, "bundle": "b", "index": "i", "routes": {}, "teams": [],
            "partial": False, "degraded": [], "took_ms": 5.0 + (user * 13 + answer) % 7, **attributes,
        },
    }  # fmt: skip


def experiment(
    folder: Path, lift: float = 0.5, slow: float = 1.0, lost: float = 0.0, seed: int = 3
) -> tuple[Path, Path]:
    """Writes both files. The rate of clicks is 0.2 in the control."""
    rng = np.random.default_rng(seed)
    exposures, outcomes = folder / "exposures", folder / "outcomes.csv"
    exposures.mkdir()
    events, rows = [], ["timestamp,user,action,value"]
    for user in range(UNITS):
        arm = "treatment" if rng.random() < 0.5 else "control"
        if arm == "treatment" and rng.random() < lost:
            continue
        rate = 0.2 * (1 + lift * (arm == "treatment"))
        for answer in range(3):
            told = event(user, answer, arm)
            told["query_attributes"]["took_ms"] *= slow if arm == "treatment" else 1
            events.append(told)
            at = (datetime.fromisoformat(told["timestamp"]) + timedelta(minutes=1)).isoformat()
            if rng.random() < rate:
                rows.append(f"{at},u{user},click,")
            if rng.random() < rate / 4:
                rows.append(f"{at},u{user},purchase,{rng.integers(5, 50)}")
        rows += [f"{(START - timedelta(days=2)).isoformat()},u{user},click,"] * rng.poisson(1)
    half = len(events) // 2
    for name, part in (("a", events[:half]), ("b", events[half:])):
        (exposures / f"exposures-{name}.jsonl").write_text(
            "\n".join(json.dumps(each) for each in part) + "\n"
        )
    outcomes.write_text("\n".join(rows) + "\n")
    return exposures, outcomes


def test_a_planted_lift_is_told_with_a_page(tmp_path: Path) -> None:
    exposures, outcomes = experiment(tmp_path)
    found = report(exposures, outcomes, key="key", effect=0.3)
    assert (found.experiment, found.control, found.sound) == ("merge", "control", True)
    assert sum(found.units.values()) == UNITS
    assert sum(found.answers.values()) == 3 * UNITS
    assert found.shares == {"control": 0.5, "treatment": 0.5}
    (against,) = found.against
    clicks = against.metrics["click rate"]
    assert clicks.lift.low < 0.5 < clicks.lift.high
    assert clicks.control.low < 0.2 < clicks.control.high
    assert against.verdict == "better"
    assert not against.tripped
    assert (against.overlap, against.queries) == (0.5, 3)
    assert against.metrics["revenue per unit"].control.value > 0
    assert len(against.looks) > 5
    assert against.looks[-1].lift.value == pytest.approx(clicks.lift.value, abs=0.02)
    page = write_page(found)
    for text in (
        "<svg",
        "better than the control",
        "treatment against control",
        "guardrails",
        "as it should be",
    ):
        assert text in page
    json.dumps(found.as_dict(), allow_nan=False)


def test_a_slower_arm_trips_its_guardrail_and_units_that_are_lost_end_all_verdicts(tmp_path: Path) -> None:
    for name in ("slow", "lost"):
        (tmp_path / name).mkdir()
    slow = report(*experiment(tmp_path / "slow", lift=0.0, slow=1.3), key="key")
    assert slow.against[0].tripped == ["latency"]
    assert not slow.sound
    lost = report(*experiment(tmp_path / "lost", lost=0.15), key="key")
    assert lost.mismatch
    assert "no verdict" in write_page(lost)


def test_files_are_read_and_what_takes_no_part_is_told(tmp_path: Path) -> None:
    exposures, outcomes = experiment(tmp_path)
    more = [
        event(9001, 0, "control", forced=["merge"]),
        event(9002, 0, "control", arms={"towers": "only"}),
        event(0, 0, "control"),
    ]
    lines = "\n".join(json.dumps(each) for each in more)
    (exposures / "exposures-c.jsonl").write_text(lines + '\n{"format": 1, "query_')
    outcomes.write_text(
        outcomes.read_text()
        + "2026-11-03T00:00:00Z,nobody,click,\n2026-11-03T00:00:00Z,u1,wish,\n,u1,click,\n"
    )
    found = report(exposures, outcomes, key="key")
    assert found.skipped == {
        "not in the experiment": 1, "arm chosen by a header": 1, "told twice": 1, "damaged lines": 1,
        "another action": 1, "of nobody who was exposed": 1, "damaged": 1,
    }  # fmt: skip
    assert sum(found.units.values()) == UNITS
    later = report(exposures, outcomes, key="key", since=(START + timedelta(hours=80)).timestamp())
    early = sum(found.answers.values()) - sum(later.answers.values())
    assert 0 < early == later.skipped["too early"] - 1  # one of these had been told twice


def test_outcomes_join_by_answer_by_client_or_by_user(tmp_path: Path) -> None:
    exposures, _ = experiment(tmp_path)
    at = (START + timedelta(days=8)).isoformat()
    rows = [
        {"action_name": "click", "query_id": "r1.0", "timestamp": at},
        {"action_name": "click", "client_id": client_id("u2", "key"), "timestamp": at},
        {"action": "click", "user": "u3", "ts": at},
    ]
    outcomes = tmp_path / "outcomes.jsonl"
    outcomes.write_text("\n".join(json.dumps(row) for row in rows))
    found = report(exposures, outcomes, key="key")
    (against,) = found.against
    clicks = against.metrics["click rate"]
    total = (
        clicks.control.value * found.answers["control"] + clicks.treatment.value * found.answers["treatment"]
    )
    assert total == pytest.approx(3)
    late = report(exposures, outcomes, key="key", window_days=0)
    assert late.against[0].metrics["click rate"].control.value == 0
    outcomes.write_text(json.dumps(rows[2]))
    with pytest.raises(OutcomesError, match="1 of nobody who was exposed"):
        report(exposures, outcomes, key="another")


def test_weights_that_moved_are_told_and_the_split_is_judged_by_who_came_after(tmp_path: Path) -> None:
    folder = tmp_path / "exposures"
    folder.mkdir()
    rng, events = np.random.default_rng(1), []
    for user in range(6000):
        share = 0.1 if user < 3000 else 0.5
        arm = "treatment" if rng.random() < share else "control"
        told = event(user, 0, arm)
        told["timestamp"] = (START + timedelta(seconds=user)).isoformat()
        told["query_attributes"]["shares"] = {"merge": share if arm == "treatment" else 1 - share}
        events.append(told)
    (folder / "exposures-1.jsonl").write_text("\n".join(json.dumps(each) for each in events))
    outcomes = tmp_path / "outcomes.jsonl"
    outcomes.write_text(json.dumps({"action": "click", "user": "u1", "ts": START.isoformat()}))
    found = report(folder, outcomes, key="key")
    assert any("weights moved" in line for line in found.notes)
    assert 2900 < found.split_units <= 3000
    assert not found.mismatch


def test_what_cannot_be_reported_is_told(tmp_path: Path) -> None:
    exposures, outcomes = experiment(tmp_path)
    with pytest.raises(ReportError, match="no arm 'z'"):
        report(exposures, outcomes, key="key", control="z")
    with pytest.raises(ReportError, match="one arm alone"):
        report(exposures, outcomes, key="key", experiment="towers")
    with pytest.raises(ExposuresError, match="no exposures of the experiment absent"):
        report(exposures, outcomes, key="key", experiment="absent")
    with pytest.raises(ReportError, match="no metric"):
        report(exposures, outcomes, key="key", metric="joy")
    later = tmp_path / "exposures-later.jsonl"
    later.write_text(json.dumps(event(1, 1, "control") | {"format": 2}))
    with pytest.raises(ExposuresError, match="format 2; this version reads 1"):
        report(later, outcomes, experiment="merge")
    later.unlink()
    with pytest.raises(ExposuresError, match=r"no exposures-\*"):
        report(tmp_path, outcomes, experiment="merge")
