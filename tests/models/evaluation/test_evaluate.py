"""The evaluation over a synthetic shop, with bundles that need no training."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.main import build
from models.evaluation import MEASURES, Evaluation, evaluate
from models.evaluation.diagnose import diagnose
from models.evaluation.evaluate import Row
from models.evaluation.heldout import NothingHeldOut


def row(evaluation: Evaluation, slice_name: str, system: str | None = None) -> Row:
    rows = {(row.slice, row.system): row for row in evaluation.rows}
    return rows[slice_name, system or evaluation.systems[0]]


def test_slices_and_systems(evaluation: Evaluation) -> None:
    wanted = {"all", "text", "browse", "colour", "pattern", "head", "tail", "cold users", "cold items"}
    assert wanted | {"taste: picture", "taste: text", "no taste"} <= set(evaluation.masks)
    assert evaluation.systems[1] == "without history"
    assert evaluation.systems[3] == "bm25"
    assert {r.slice for r in evaluation.rows if r.system == "bm25"} >= {"all", "text"}
    assert ("browse", "bm25") not in {(r.slice, r.system) for r in evaluation.rows}
    assert all(mask.any() for mask in evaluation.masks.values())
    for each in evaluation.rows:
        assert list(each.figures) == list(MEASURES)
        assert each.requests > 0
        for figure in each.figures.values():
            assert figure.value != figure.value or 0 <= figure.low <= figure.high <= 1
        recalls = [each.figures[f"Recall@{k}"].value for k in (1, 10, 50, 100, 500)]
        assert recalls == sorted(recalls)
    assert row(evaluation, "all").figures["Recall@10"].value > 0.05
    assert np.isnan(row(evaluation, "browse").figures["Rele@10_p"].value)


def test_cold_users_have_no_history(evaluation: Evaluation) -> None:
    cold = evaluation.masks["cold users"]
    assert all(not r.history for r, c in zip(evaluation.held_out.requests, cold, strict=True) if c)
    gaps = [c for c in evaluation.comparisons if c.slice == "cold users" and c.against == "without history"]
    assert gaps
    assert all(c.gap.value == 0 and c.p == 1 for c in gaps)


def test_comparison_of_two_bundles(evaluation: Evaluation) -> None:
    found = [c for c in evaluation.comparisons if c.against == evaluation.systems[2]]
    assert {c.measure for c in found} == set(MEASURES)
    for c in found:
        ours, theirs = (
            row(evaluation, c.slice, system).figures[c.measure].value
            for system in (evaluation.systems[0], c.against)
        )
        assert c.gap.value == pytest.approx(ours - theirs)
        assert 0 < c.p <= 1
    told = evaluation.as_dict()
    assert "NaN" not in json.dumps(told)
    assert told["units"]["Rele@10_p_w"] == "query by traffic"
    assert {"slice", "system", "requests", "queries_of_slice", *MEASURES} == set(told["slices"][0])


@pytest.mark.parametrize("measure", [evaluate, diagnose])
def test_nothing_held_out_is_said(
    measure: Callable[..., Any], tmp_path: Path, bundle_path: Path, shop_path: Path
) -> None:
    shop = shutil.copytree(shop_path, tmp_path / "shop")
    (shop / "events.parquet").unlink()
    (shop / "shop.toml").write_text("")
    with pytest.raises(NothingHeldOut, match=r"no events file: looked for events\.parquet"):
        measure(bundle_path, shop)


def test_the_folder_of_a_report_is_made_before_anything_is_measured(
    tmp_path: Path, bundle_path: Path, shop_path: Path
) -> None:
    def run(report: Path) -> Result:
        options = ["--bundle", str(bundle_path), "--report", str(report)]
        return CliRunner().invoke(build(), ["evaluate", str(shop), *options])

    shop = shutil.copytree(shop_path, tmp_path / "shop")
    (shop / "events.parquet").unlink()
    (shop / "shop.toml").write_text("")
    assert isinstance(run(tmp_path / "new" / "r.html").exception, NothingHeldOut)
    assert (tmp_path / "new").is_dir()
    (tmp_path / "file").touch()
    assert isinstance(run(tmp_path / "file" / "r.html").exception, FileExistsError)


def test_a_figure_is_of_the_requests_that_a_system_could_take(evaluation: Evaluation) -> None:
    photos = sum(r.event.picture is not None and r.kind != "browse" for r in evaluation.held_out.requests)
    everything = evaluation.masks["all"].sum()
    assert row(evaluation, "all").requests == everything
    assert row(evaluation, "all", "bm25").requests == everything - photos
    assert all(evaluation.masks["all"][evaluation.masks["cold items"]])


def test_tasteless_users_find_suiting_what_is_relevant(evaluation: Evaluation) -> None:
    """A grade is at least the relevance's share of it, and taste takes off at most 0.6 of it."""
    asks, tastes = (row(evaluation, name).figures for name in ("no taste", "taste"))
    assert 0 < tastes["Taste@10"].value < 1
    assert asks["Taste@10"].value >= asks["Rele@10_p_w"].value
