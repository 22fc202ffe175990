"""What a plan may say, and what is said of one that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.release.plan import Gate, PlanError, read_plan
from models.evaluation.measures import MEASURES

LEAST = 'shop = "shop"\nconfig = "mrse.toml"\nwork = "releases"\n'


def write(tmp_path: Path, more: str) -> Path:
    file = tmp_path / "release.toml"
    file.write_text(LEAST + more)
    return file


def test_paths_are_of_the_plans_folder(tmp_path: Path) -> None:
    more = 'changes = "/abs/changes.jsonl"\n[exposed]\nexposures = "e"\noutcomes = "o.csv"\n'
    plan = read_plan(
        write(tmp_path, more + '[vespa]\npackage = "p"\nendpoints = ["u"]\nconfig_servers = ["u"]\n')
    )
    assert (plan.shop, plan.work) == (tmp_path / "shop", tmp_path / "releases")
    assert plan.changes == Path("/abs/changes.jsonl")
    assert plan.exposed is not None
    assert plan.exposed.outcomes == tmp_path / "o.csv"
    assert plan.vespa is not None
    assert plan.vespa.package == tmp_path / "p"


def test_the_measures_of_a_plan_that_names_none_exist() -> None:
    assert set(Gate().measures) <= MEASURES.keys()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("keeep = 1\n", "keeep: there is no such key"),
        ("[canary]\nshare = 1.0\n", "canary.share: Input should be less than 1"),
        ("[canary]\nwhatever = 1.0\n", "canary.whatever: there is no such key"),
        ('name = "No Spaces"\n', "name: String should match"),
        ("[train\n", "not TOML"),
        ('bundle = "b"\n[train]\n', "give a bundle, or the table [train], not both"),
        ("[gate]\nsplit = 'train'\n", "gate.split"),
        (
            '[gate]\nmeasures = ["Recall@10", "nDGC@10"]\n',
            "gate.measures: there is no measure 'nDGC@10'; there are",
        ),
        (
            '[services]\nurls = ["u"]\n[canary]\nwatch_s = 60\nlongest_s = 60\n',
            "canary.settle_s: latency would count from 60 s on, and the watch ends after 60 s at the latest",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, more: str, said: str) -> None:
    file = write(tmp_path, more)
    with pytest.raises(PlanError) as caught:
        read_plan(file)
    assert said in str(caught.value)
    assert str(file) in str(caught.value)
