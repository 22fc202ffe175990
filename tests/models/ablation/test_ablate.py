import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from artifacts.shop.shop import Shop
from common.files import replace_text
from models.ablation import GROUPS, Ablation, ablate, cells
from models.ablation.matrix import (
    FULL,
    PROOF,
    SHOP_SWEEPS,
    SWEEPS,
    Cell,
    Claim,
    MatrixError,
    claims,
    config_value,
)
from models.ablation.page import write_page
from models.ablation.plan import claimed, plan_runs, run_folder
from models.ablation.runs import Outcome
from models.ablation.subset import subset
from models.ablation.summary import check, gap, summarise, verdict
from models.evaluation.measures import MEASURES
from models.evaluation.statistics import Interval, Sums
from models.synthetic import Dials, Judge, Recipe, make_shop
from models.towers import Config, Towers, preset
from models.towers.lmoe import Experts
from models.towers.single import SingleTransformer, parameters


def test_every_cell_differs_from_the_full_model_in_a_configuration_that_is_valid() -> None:
    base = preset("tiny")
    matrix = cells(base)
    swept = {sweep.group for sweep in SHOP_SWEEPS}
    assert {cell.group for cell in matrix} == set(GROUPS) - {PROOF} - swept
    assert len({cell.name for cell in matrix}) == len(matrix)
    folders = {run_folder(Path("out"), cell, 7) for cell in matrix}
    assert len(folders) == len(matrix)
    for cell in matrix[1:]:
        other = cell.config(base, 9)
        assert other.seed == 9
        assert cell.part < 1 or other.fingerprint() != base.with_overrides({"seed": 9}).fingerprint()
    assert matrix[0].name == FULL
    assert [c.name for c in cells(base, ["loss"])] == [
        FULL,
        "mnsce only",
        "false negatives guided",
        "hnst only",
    ]
    proof = {c.name for c in cells(base, [PROOF])}
    assert len(proof) == 6
    assert {c.cell for c in claims()[:12]} == proof - {FULL}
    assert [cell.name for cell in cells(preset("tiny"), ["no gate", "mnsce only"])] == [
        FULL,
        "no gate",
        "mnsce only",
    ]
    with pytest.raises(MatrixError, match="nonsense"):
        cells(base, ["nonsense"])


def test_claims_name_cells_and_measures_that_are_there() -> None:
    names = {cell.name for cell in cells(preset("demo"))}
    for claim in claims():
        assert claim.cell in names
        assert claim.measure in MEASURES


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda s: s.key)
def test_sweeps_vary_a_value_around_the_usual_one(sweep) -> None:  # type: ignore[no-untyped-def]
    base = preset("demo")
    found = [c for c in cells(base, [sweep.group]) if c.group == sweep.group]
    assert len(found) >= 2
    assert config_value(base, sweep.key) not in [c.x for c in found]
    for cell in found:
        assert config_value(cell.config(base, 7), sweep.key) == cell.x


def test_runs_share_what_does_not_differ(shop_path: Path, tmp_path: Path) -> None:
    base = preset("tiny")
    groups = ["parts", "experts", "loss", "dimension", "threshold", "growth"]
    runs = plan_runs(shop_path, tmp_path, base, cells(base, groups), (7, 8), "test")
    by_name = {(run.cell.name, run.config.seed): run for run in runs}
    assert len(by_name) == len(runs)
    full, other = by_name[FULL, 7], by_name[FULL, 8]
    assert full.needs == []
    # Another seed trains its own image encoder: an interval over seeds is one over all that is trained.
    assert other.needs == []
    for name in ("no picture", "single transformer", "mnsce only", "dimension 16"):
        assert by_name[name, 7].needs == [full]
        assert by_name[name, 8].needs == [other]
    for name in ("no history", "no gate", "no co-clicks"):
        assert by_name[name, 7].experts == full
        assert by_name[name, 8].needs == [other, other]
    assert by_name["threshold 0.1", 7].needs == []
    # A part of the catalogue has pictures and data of its own.
    part = by_name["growth 50%", 7]
    assert part.needs == []
    assert part.shop != shop_path
    assert part.data != full.data


def test_a_dial_of_the_shop_is_swept_with_and_without_what_it_acts_on(tmp_path: Path) -> None:
    make_shop(tmp_path / "shop", items=120, seed=3)
    matrix = cells(preset("tiny"), ["taste", "picture only"])
    names = [cell.name for cell in matrix]
    assert names[:3] == [FULL, "no history", "no picture"]
    by_name = {c.name: c for c in matrix}
    for sweep in SHOP_SWEEPS:
        assert sweep.usual not in sweep.values
        for value in sweep.values:
            name = f"{sweep.group} {value:g}"
            bare, lacking = by_name[name], by_name[f"{name}, {sweep.without}"]
            assert (bare.overrides, bare.against, lacking.against) == ({}, None, name)
            assert bare.dials == lacking.dials == {sweep.dial: value}
            assert lacking.overrides == by_name[sweep.without].overrides
    few = [c for c in matrix if c.name in (FULL, "no history", "taste 0", "taste 0, no history")]
    planned = plan_runs(tmp_path / "shop", tmp_path, preset("tiny"), few, (7,), "test")
    runs = {run.cell.name: run for run in planned}
    assert runs["taste 0"].shop == runs["taste 0, no history"].shop != runs[FULL].shop
    assert runs["taste 0"].needs == []
    # The cell without history takes pictures and experts from the full model over its own shop.
    assert runs["taste 0, no history"].experts == runs["taste 0"]
    assert runs["no history"].experts == runs[FULL]
    drawn = Recipe.read(runs["taste 0"].shop)
    assert drawn is not None
    assert drawn.dials == Dials(taste=0.0)
    # A shop that nobody drew has no dials, and one that is there already is not drawn again.
    stamp = (runs["taste 0"].shop / "items.parquet").stat().st_mtime_ns
    plan_runs(tmp_path / "shop", tmp_path, preset("tiny"), few, (7,), "test")
    assert (runs["taste 0"].shop / "items.parquet").stat().st_mtime_ns == stamp
    (tmp_path / "shop" / "synthetic.json").unlink()
    with pytest.raises(MatrixError, match="mrse shop make"):
        plan_runs(tmp_path / "shop", tmp_path, preset("tiny"), few, (7,), "test")


def test_the_worth_of_a_part_is_drawn_over_the_dial() -> None:
    matrix = cells(preset("tiny"), ["taste"])
    hits = {FULL: 3, "no history": 2, "taste 0": 2, "taste 0, no history": 2, "taste 1.5, no history": 1}
    hits |= {"taste 1.5": 4}
    outcomes = {name: [_outcome(name, 7, [1.0] * n + [0.0] * (4 - n))] for name, n in hits.items()}
    found = {s.cell.name: s for s in summarise(matrix, outcomes)}
    key = ("all", "Recall@100")
    assert found["taste 0"].gaps == {}
    gaps = {n: found[f"taste {n}, no history"].gaps[key].value for n in ("0", "1.5")}
    assert gaps == {"0": 0.0, "1.5": 0.75}
    assert found["no history"].gaps[key].value == 0.25
    page = write_page(Path("out"), preset("tiny"), list(found.values()), [], "test", (7,))
    assert "What history is worth, by the times the shop" in page


def test_the_usual_configuration_keeps_its_fingerprint_whatever_kinds_there_are() -> None:
    base = preset("tiny")
    assert base.with_overrides({"experts.kind": "lmoe"}).fingerprint() == base.fingerprint()
    assert base.with_overrides({"experts.kind": "single"}).fingerprint() != base.fingerprint()


@pytest.mark.parametrize(("name", "off"), [("tiny", 0.05), ("demo", 0.015)])
def test_the_single_transformer_is_of_equal_size(name: str, off: float) -> None:
    config = preset(name)
    vocabulary = config.data.vocabulary
    three, one = Experts(config, vocabulary), SingleTransformer(config, vocabulary)
    assert abs(parameters(one) / parameters(three) - 1) < off


def test_the_single_transformer_takes_and_gives_what_the_experts_do() -> None:
    config = preset("tiny").with_overrides({"experts.kind": "single", "experts.share_text_experts": False})
    towers = Towers(config, 400).eval()
    assert isinstance(towers.query_experts, SingleTransformer)
    assert towers.item_experts is towers.query_experts
    ids, ngrams = torch.tensor([[1, 7, 2], [1, 2, 0]]), torch.tensor([[[5, 6]], [[0, 0]]])
    picture = torch.randn(2, config.picture.feature_dim)
    out = towers.query_experts(ids, ngrams, picture, torch.tensor([1.0, 0.0]))
    assert out.shape == (2, 3, config.dimensions.expert_dim)
    torch.testing.assert_close(out.norm(dim=-1), torch.ones(2, 3))
    # It reads the n-grams, not only whether there are any.
    others = towers.query_experts(ids, ngrams + (ngrams > 0), picture, torch.tensor([1.0, 0.0]))
    assert (out[0] - others[0]).abs().max() > 1e-4
    unseen = towers.query_experts(ids, ngrams, picture + 1, torch.tensor([1.0, 0.0]))
    assert not torch.equal(unseen[0], out[0])
    assert torch.equal(unseen[1], out[1])
    blind = Towers(config.with_overrides({"switches.picture": False}), 400).eval().query_experts
    torch.testing.assert_close(
        blind(ids, ngrams, picture, torch.ones(2)), blind(ids, ngrams, picture + 1, torch.ones(2))
    )


@pytest.mark.parametrize(
    ("interval", "claim", "held"),
    [
        ((0.2, 0.1, 0.3), {}, "holds"),
        ((0.2, -0.1, 0.3), {}, "not shown"),
        ((-0.2, -0.3, -0.1), {}, "reversed"),
        ((0.2, 0.1, 0.3), {"more": 0.25}, "not shown"),
        ((0.3, 0.1, 0.5), {"more": 0.25}, "holds"),
        ((-0.01, -0.05, 0.03), {"no_loss": True}, "holds"),
        ((-0.04, -0.05, -0.03), {"no_loss": True}, "reversed"),
        ((float("nan"),) * 3, {}, "unknown"),
    ],
)
def test_verdicts(interval: tuple[float, float, float], claim: dict, held: str) -> None:  # type: ignore[type-arg]
    assert verdict(Claim("", "", "all", "MRR", **claim), Interval(*interval)) == held


def _outcome(cell: str, seed: int, hits: list[float], failed: str = "") -> Outcome:
    sums = {} if failed else {("all", "Recall@100"): Sums(np.array(hits), np.ones(len(hits)))}
    return Outcome(cell, seed, None, 10, failed, sums)


def test_summary_by_hand() -> None:
    outcomes = {
        FULL: [_outcome(FULL, 7, [1, 1, 1, 0]), _outcome(FULL, 8, [1, 1, 1, 0])],
        "mnsce only": [_outcome("mnsce only", 7, [1, 0, 0, 0]), _outcome("mnsce only", 8, [], "int8 is off")],
    }
    key = ("all", "Recall@100")
    full, mnsce = summarise(cells(preset("tiny"), ["loss"]), outcomes)
    assert full.values[key].value == 0.75
    assert mnsce.values[key].value == 0.25
    assert mnsce.gaps[key].value == 0.5
    assert mnsce.failed == ("seed 8: int8 is off",)
    assert "NaN" not in json.dumps(mnsce.as_dict())
    held = {c.claim.says: c for c in check(outcomes)}
    assert held["both losses over MNSCE alone"].gap.value == 0.5
    assert held["history over none, users with a taste"].held == "unknown"
    # A part of the catalogue is asked other queries, so there is no difference query by query.
    assert np.isnan(gap(outcomes[FULL], [_outcome("growth", 7, [1.0])], key).value)


def test_a_part_of_a_shop_is_a_shop(shop_path: Path, tmp_path: Path) -> None:
    subset(shop_path, tmp_path / "half", 0.5)
    subset(shop_path, tmp_path / "quarter", 0.25)
    half, quarter = Shop.open(tmp_path / "half"), Shop.open(tmp_path / "quarter")
    ids, fewer = [i.id for i in half.items()], {i.id for i in quarter.items()}
    assert 90 < len(ids) < 160
    assert fewer < set(ids)
    assert {e.item for e in half.events()} <= set(ids)
    picture = next(i.picture for i in half.items() if i.picture is not None)
    assert half.picture(picture)
    assert Judge.open(tmp_path / "half").rows(ids[:3]).tolist() == sorted(int(i[1:]) for i in ids[:3])


@pytest.fixture(scope="module")
def base() -> Config:
    return preset("tiny").with_overrides({"stage1.steps": 4, "stage2.steps": 4})


@pytest.fixture(scope="module")
def matrix(shop_path: Path, base: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ablation]:
    """A matrix of two cells, and where its runs are."""
    out = tmp_path_factory.mktemp("matrix")
    return out, ablate(shop_path, out, base, seeds=(7,), groups=["experts"], resamples=100)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks often at runs that other processes are at."""
    monkeypatch.setattr(import_module("models.ablation.ablate"), "_WAIT_S", 0.05)


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_processes_share_a_matrix_and_none_takes_what_another_is_at(
    shop_path: Path, base: Config, matrix: tuple[Path, Ablation], tmp_path: Path
) -> None:
    single, full = (
        run_folder(tmp_path, cell, 7) for cell in (Cell("single transformer", "experts"), Cell(FULL, FULL))
    )
    shutil.copytree(run_folder(matrix[0], Cell(FULL, FULL), 7), full)
    looks: list[str] = []
    with ThreadPoolExecutor() as pool, claimed(single) as ours:
        assert ours
        with claimed(single) as again:
            assert not again
        running = pool.submit(
            ablate, shop_path, tmp_path, base, seeds=(7,), groups=["experts"], resamples=10,
            progress=lambda stage, done, total: looks.append(stage),
        )  # fmt: skip
        while looks.count("runs") < 10 and not running.done():
            time.sleep(0.02)
        # The other run is ours: waited for, not run.
        assert not (single / "run").exists()
        assert not running.done()
        shutil.copyfile(full / "sums.npz", single / "sums.npz")
        stored = json.loads((full / "result.json").read_text()) | {"cell": "single transformer"}
        stored["identity"]["config"] = base.with_overrides({"experts.kind": "single"}).fingerprint()
        replace_text(single / "result.json", json.dumps(stored))  # whole, for it is waited for
    done = running.result()
    assert (done.ran, done.skipped) == (0, 2)
    assert not (single / "run").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_the_matrix_runs_is_resumed_and_is_not_run_twice(
    shop_path: Path, base: Config, matrix: tuple[Path, Ablation]
) -> None:
    out, first = matrix
    assert (first.ran, first.skipped) == (2, 0)
    assert [c.cell.name for c in first.cells] == [FULL, "single transformer"]
    assert not any(c.failed for c in first.cells)
    donor, taker = (run_folder(out, c.cell, 7) / "run" for c in first.cells)
    assert (donor / "image.pt").stat().st_ino == (taker / "image.pt").stat().st_ino
    assert (donor / "stage1.pt").stat().st_ino != (taker / "stage1.pt").stat().st_ino
    (taker.parent / "result.json").unlink()
    again = ablate(shop_path, out, base, seeds=(7,), groups=["experts"], resamples=100, processes=2)
    assert again.ran + again.skipped == 2
    assert (taker.parent / "result.json").is_file()
    key = ("all", "Recall@100")
    assert [c.values[key] for c in again.cells] == [c.values[key] for c in first.cells]
    page = again.page.read_text()
    assert "http" not in page
    assert "LMoE over one transformer" in page
