"""``mrse calibrate`` from a shop to the curves that a service merges by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from artifacts.bundle import Bundle
from artifacts.shop.shop import Shop
from cli.commands.calibrate import FEWEST, _findings
from cli.fitted_curves import fitted, is_better
from cli.main import build as commands
from index.embedded.build import build_index
from models.embed import embed_shop
from service.recall.calibration import BUILT_IN, Calibration, Curve, beside, calibration_of
from service.recall.fitting import Judged, Limit, judged_of
from tests.service.recall.test_fitting import photos


@pytest.fixture(scope="module")
def index(shop: Shop, bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("calibrate")
    embed_shop(shop, Bundle.load(bundle_path), root / "embeddings", behaviours="train")
    build_index(root / "embeddings", root / "index")
    return root / "index"


def run(shop_path: Path, bundle_path: Path, index: Path, *more: str) -> Any:
    arguments = ["calibrate", str(shop_path), "--bundle", str(bundle_path), "--index", str(index)]
    done = CliRunner().invoke(commands(), [*arguments, "--requests", "50", "--k", "30", *more])
    assert done.exit_code == 0, done.output
    return done


def test_curves_are_fitted_measured_and_written_beside_the_index(
    shop_path: Path, bundle_path: Path, index: Path, tmp_path: Path
) -> None:
    config = tmp_path / "mrse.toml"
    config.write_text("[recall.lexical]\nenabled = true\n")
    version = Bundle.load(bundle_path).version
    told = run(shop_path, bundle_path, index, "--config", str(config), "--json", "--dry-run")
    assert calibration_of(index, version) is BUILT_IN
    figures = json.loads(told.stdout)["fitted"]["figures"]
    assert {"calibrated", "built-in", "score", "rrf", "worth of q2i", "worth of lexical"} <= set(figures)
    for row in figures.values():
        assert set(row) == {"nDCG@10", "Recall@1", "Recall@10"}
    shown = run(shop_path, bundle_path, index, "--config", str(config))
    assert "worth of lexical" in shown.stdout
    written = Calibration.read(beside(index))
    assert written == calibration_of(index, version)
    assert set(written.curves) == {"lexical"}
    assert written.fitted["requests"] == 50
    better = figures["calibrated less built-in"]["nDCG@10"]["value"] >= 0
    assert written.fitted["kept"] == ("fitted" if better else "built-in")
    assert better or written.curves == BUILT_IN.curves
    assert ("the built-in curves stay" in shown.stdout) is not better
    assert written.version in shown.stdout


def figures(**gains: tuple[float, float, float]) -> dict[str, Any]:
    """Rows of a report, by value and interval."""
    rows = {name.replace("_", " "): gain for name, gain in gains.items()}
    return {
        name.replace("built in", "built-in"): {"nDCG@10": {"value": value, "low": low, "high": high}}
        for name, (value, low, high) in rows.items()
    }


@pytest.mark.parametrize(
    ("gain", "route", "better"),
    [
        (0.02, "lexical", True),
        (0.0, "lexical", True),
        (-0.01, "lexical", False),
        (-0.01, "acme", True),
        (-0.01, "p2i", False),
    ],
)
def test_a_fit_that_does_not_hold_for_other_requests_is_left(gain: float, route: str, better: bool) -> None:
    told = figures(calibrated_less_built_in=(gain, gain - 0.03, gain + 0.03))
    curves = {route: Curve(points=((0.0, 0.0), (1.0, 0.3)))}
    assert is_better(told, curves) is better, "a route without a built-in curve has nothing to stay with"


def test_a_route_that_does_harm_is_named_and_one_that_may_not_is_not() -> None:
    told = figures(worth_of_q2i=(-0.04, -0.06, -0.02), worth_of_lexical=(-0.01, -0.03, 0.01))
    assert _findings(told, better=True) == ["q2i does harm: without it nDCG@10 is better by 0.040"]


def test_pictures_get_a_curve_where_enough_searched_by_them_and_their_limits_do_worse() -> None:
    judged = photos(2 * FEWEST)
    query = list(range(len(judged)))
    mixes, curves = fitted(judged, query, {"p2i": Limit(0.8, 10)}, "b", FEWEST)
    assert "p2i" in curves
    assert mixes[0] != mixes[1], "each half is merged by what the other one gave"
    few = judged[: FEWEST - 1]
    assert "p2i" not in fitted(few, query[: len(few)], {"p2i": Limit(0.8, 10)}, "b", FEWEST)[1]
    # Nothing is to be gained where all come through as they are, and lie as they should.
    every = {"p2i": Limit(-1.0, 30)}
    near = [Judged({"q2i": [], "p2i": each.routes["p2i"]}, each.gains) for each in judged]
    assert "p2i" not in fitted(near, query, every, "b", FEWEST)[1]


def test_what_pictures_alone_are_worth_says_nothing_of_pictures_beside_words() -> None:
    count, limit = 2 * FEWEST, Limit(0.8, 10)
    limits = {"p2i": limit, "p2i+text": limit}
    alone = photos(count)
    # Beside words a picture tells no more than chance: it is of another item than the one clicked.
    beside_words = [
        judged_of(each.routes, {each.routes["q2i"][0].item_id: 1.0}, words=True)
        for each in photos(count, seed=3)
    ]
    _, curves = fitted([*alone, *beside_words], list(range(2 * count)), limits, "b", FEWEST)
    assert "p2i" in curves
    assert "p2i+text" not in curves
    telling = [judged_of(each.routes, each.gains, words=True) for each in photos(count, seed=3)]
    assert {"p2i", "p2i+text"} <= fitted([*alone, *telling], list(range(2 * count)), limits, "b", FEWEST)[
        1
    ].keys()
