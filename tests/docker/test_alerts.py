"""Each alert fires where it should, is silent where it should, and has a section of the runbook."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker.alert_cases import AT, CASES
from tests.support.command import ROOT

FILE = ROOT / "docker/alerts.yml"
RULES = [rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RUNBOOK = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
SECTIONS: dict[str, str] = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
PROMTOOL = shutil.which("promtool")


def case(name: str, series: dict[str, str], fires: bool, at: int) -> dict[str, Any]:
    """A group of promtool's tests: whether one alert fires."""
    firing = f'count(count(ALERTS{{alertname="{name}",alertstate="firing"}}))'
    expected = [{"labels": "{}", "value": 1}] if fires else []
    return {
        "interval": "1m",
        "name": f"{name} {'fires' if fires else 'is silent'}",
        "input_series": [{"series": series_, "values": values} for series_, values in series.items()],
        "promql_expr_test": [{"expr": firing, "eval_time": f"{at}m", "exp_samples": expected}],
    }


def test_every_alert_has_cases_and_every_case_an_alert() -> None:
    assert ALERTS.keys() == CASES.keys()


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed; Debian's package prometheus has it")
def test_every_alert_fires_and_is_silent_where_it_should(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    files = []
    for name, each in CASES.items():
        # One alert, and what alerts are made of: all of them for each case would take minutes.
        rules = [rule for rule in RULES if rule.get("alert", name) == name]
        (tmp_path / f"{name}.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
        test = {
            "rule_files": [f"{name}.yml"],
            "evaluation_interval": "1m" if each.at <= AT else "1h",
            "tests": [case(name, each.fires, True, each.at), case(name, each.silent, False, each.at)],
        }
        files.append(tmp_path / f"{name}.test.yml")
        files[-1].write_text(yaml.safe_dump(test))
    done = subprocess.run(
        [PROMTOOL, "test", "rules", *files], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_an_alert_says_what_it_is_and_links_to_a_section_that_says_what_to_do(name: str) -> None:
    annotations = ALERTS[name]["annotations"]
    assert annotations["summary"]
    assert annotations["runbook_url"] == f"docs/runbook.md#{name.lower()}"
    assert ALERTS[name]["labels"]["severity"] in ("page", "ticket")
    for part in ("**Means.**", "**Look at.**", "**Do.**"):
        assert part in SECTIONS[name], f"{name}: the runbook lacks {part}"


def test_the_runbook_has_no_section_without_an_alert() -> None:
    assert SECTIONS.keys() == ALERTS.keys()
