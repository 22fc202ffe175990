"""The whole evaluation over a synthetic shop, with bundles that need no training."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from artifacts.shop.shop import Shop
from cli.main import build
from models.evaluation import evaluate
from models.evaluation.diagnose import diagnose
from models.evaluation.full_report import Evaluated, evaluate_full
from models.evaluation.heldout import NothingHeldOut
from models.evaluation.html import curves, intervals, table, thumbnail
from models.evaluation.measure import MEASURES
from models.evaluation.report_page import write_page
from models.evaluation.statistics import Interval


@pytest.fixture(scope="module")
def evaluated(bundle_path: Path, other_path: Path, shop_path: Path) -> Evaluated:
    return evaluate_full(bundle_path, shop_path, split="test", against=other_path, resamples=100)


def test_slices_and_systems(evaluated: Evaluated) -> None:
    wanted = {"all", "text", "browse", "colour", "pattern", "head", "tail", "cold users", "cold items"}
    assert wanted | {"taste: picture", "taste: text", "no taste"} <= set(evaluated.masks)
    assert evaluated.systems[1] == "without history"
    assert evaluated.systems[3] == "bm25"
    assert ("text", "bm25", "MRR") in evaluated.figures
    assert ("browse", "bm25", "MRR") not in evaluated.figures
    for name, mask in evaluated.masks.items():
        assert evaluated.sizes[name][0] == mask.sum() > 0
    for (_, _, measure), figure in evaluated.figures.items():
        assert measure in MEASURES
        if figure.value == figure.value:
            assert 0 <= figure.low <= figure.high <= 1
    recalls = [evaluated.figures["all", evaluated.bundle, f"Recall@{k}"].value for k in (10, 50, 100, 500)]
    assert recalls == sorted(recalls)
    assert recalls[0] > 0.05


def test_cold_users_have_no_history(evaluated: Evaluated) -> None:
    cold = evaluated.masks["cold users"]
    assert all(not r.history for r, c in zip(evaluated.asked.requests, cold, strict=True) if c)
    gaps = [c for c in evaluated.comparisons if c.slice == "cold users" and c.against == "without history"]
    assert gaps
    assert all(c.gap.value == 0 and c.p == 1 for c in gaps)


def test_comparison_of_two_bundles(evaluated: Evaluated) -> None:
    found = [c for c in evaluated.comparisons if c.against == evaluated.systems[2]]
    assert {c.measure for c in found} == set(MEASURES)
    for c in found:
        ours, theirs = (evaluated.figures[c.slice, s, c.measure].value for s in (evaluated.bundle, c.against))
        assert c.gap.value == pytest.approx(ours - theirs)
        assert 0 < c.p <= 1
    assert "NaN" not in json.dumps(evaluated.as_dict())


@pytest.mark.parametrize("command", ["evaluate", "evaluate --slices", "diagnose"])
def test_nothing_held_out_is_said(command: str, tmp_path: Path, bundle_path: Path, shop_path: Path) -> None:
    shop = shutil.copytree(shop_path, tmp_path / "shop")
    (shop / "events.parquet").unlink()
    (shop / "shop.toml").write_text("")
    measure = diagnose if command == "diagnose" else evaluate_full if "slices" in command else evaluate
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


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count += 1
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def assert_stands_alone(html: str) -> None:
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script|<link|<iframe", html.replace("data:", ""))
    for source in re.findall(r'(?:src|href)="([^"]*)"', html):
        assert source.startswith("data:image/")
    tags = _Tags()
    tags.feed(html)
    assert tags.open == []


def test_the_page_stands_alone(evaluated: Evaluated, shop_path: Path) -> None:
    html = write_page(evaluated, Shop.open(shop_path))
    assert_stands_alone(re.sub(r'src="data:image/jpeg;base64,[^"]+"', 'src="data:image/x"', html))
    assert html.count("data:image/jpeg;base64,") > 10
    assert "<svg" in html
    assert "Hits" in html
    assert "Misses" in html


def test_what_users_wrote_is_escaped(evaluated: Evaluated) -> None:
    assert "<script>" not in intervals([_bar("<script>")])
    assert "<script>" not in table(["<script>"], [])
    assert "<script>" not in curves({"<script>": [(0, Interval(1, 0, 2))]}, "<script>", "<script>")


def _bar(label: str):  # type: ignore[no-untyped-def]
    from models.evaluation.html import Bar

    return Bar(label, Interval(0.5, 0.4, 0.6))


def test_drawings_of_nothing_and_of_one_point() -> None:
    unknown = Interval(float("nan"), float("nan"), float("nan"))
    assert "svg" not in curves({"a": [(1, unknown)]}, "x", "y")
    assert "svg" not in intervals([])
    assert "nan" not in curves({"a": [(1, Interval(0.5, float("nan"), float("nan")))]}, "x", "y")
    assert "nan" not in intervals([_bar("a"), _bar("b")], zero=True)
    assert thumbnail(b"no picture") is None


def test_a_figure_is_of_the_requests_that_a_system_could_take(evaluated: Evaluated) -> None:
    photos = sum(r.event.picture is not None and r.kind != "browse" for r in evaluated.asked.requests)
    assert evaluated.answered("all", evaluated.bundle) == evaluated.masks["all"].sum()
    assert evaluated.answered("all", "bm25") == evaluated.masks["all"].sum() - photos
    assert all(evaluated.masks["all"][evaluated.masks["cold items"]])


def test_tasteless_users_find_suiting_what_is_relevant(evaluated: Evaluated) -> None:
    """A grade is at least the relevance's share of it, and taste takes off at most 0.6 of it."""
    asks, tastes = (evaluated.figures[name, evaluated.bundle, "Taste@10"] for name in ("no taste", "taste"))
    assert 0 < tastes.value < 1
    assert asks.value >= evaluated.figures["no taste", evaluated.bundle, "Rele@10_p_w"].value
