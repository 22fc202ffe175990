"""Stage 2: what an item's vector may know of its own click, popularity, and experts that train on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.dataset.coclick import count_pairs
from models.dataset.training_data import TrainingData
from models.towers import Config, Towers
from models.training import train
from models.training.batches import Batch
from models.training.coclick_features import without_own_visits
from models.training.features import PictureFeatures, load_coclicks
from models.training.run import Run
from models.training.stage2 import _FusionStep


def _step(run: Path, config: Config) -> _FusionStep:
    data = TrainingData(run / "data", config)
    features = np.load(run / "item_features.npy")
    plain, views = (np.load(run / f"{n}.npy") for n in ("picture_features", "query_picture_features"))
    pictures = PictureFeatures(plain, views, data.query_pictures())
    own = Run(data, run)
    return _FusionStep(own, Towers(config, data.vocabulary), pictures, features, load_coclicks(own))


def _drawn(step: _FusionStep, seed: int = 0) -> Batch:
    return step.sampler.draw(64, np.random.default_rng(seed))


def test_a_positive_has_no_co_clicks_of_its_own_visit(run: Path, config: Config) -> None:
    step = _step(run, config)
    drawn = _drawn(step)
    among = set(drawn.items.tolist())
    left_out = without_own_visits(step.data, step.coclicks, step.features[0], drawn, among)
    assert left_out
    data, spec = step.data, config.data.preprocessing.coclicks
    user, item, at = data.behaviours()
    changed = 0
    for place, event in enumerate(drawn.wanted.events.tolist()):
        target = int(drawn.items[place])
        if event < 0 or target not in left_out or (drawn.items == target).sum() > 1:
            continue
        # Counted anew from a log in which the user did not do anything around the event.
        near = (user == data.user[event]) & (np.abs(at - data.at[event]) <= 3600.0) & (item == target)
        rest = count_pairs(user[~near], item[~near], at[~near], data.items, spec)
        before, after = (
            set(c.indices[c.indptr[target] : c.indptr[target + 1]].tolist()) for c in (step.coclicks, rest)
        )
        gone = before - after
        near_items, weights = step.coclicks.without(
            target, *data.beside(event, 3600.0, spec.following), cosine=spec.cosine
        )
        assert not gone & set(near_items.tolist())
        assert (weights > 0).all()
        changed += bool(gone)
    assert changed


def test_log_q_is_of_the_mixture(run: Path, config: Config) -> None:
    step = _step(run, config.with_overrides({"loss.logq": True}))
    drawn = _drawn(step)
    columns = drawn.columns
    log_q = step.log_q(drawn, len(columns) + 2)
    assert log_q is not None
    # A row's own hard negatives are always there.
    assert log_q[-2:].tolist() == [0, 0]
    log_q = log_q[:-2]
    titles = int((drawn.wanted.events < 0).sum())
    expected = (64 - titles) * step.share + (titles + len(drawn.uniform)) / step.data.items
    np.testing.assert_allclose(log_q.numpy(), np.log(expected[columns]), rtol=1e-5)
    # Over the whole catalogue the counts add up to the columns of a step.
    assert expected.sum() == pytest.approx(64 + len(drawn.uniform), rel=1e-5)
    assert _step(run, config).log_q(drawn, len(columns)) is None


def test_the_choice_among_answers_teaches_the_taste_alone_what_mnsce_cannot(
    run: Path, config: Config
) -> None:
    residual = {"user.kind": "residual", "user.width": 16, "loss.choice": 1.0, "loss.alpha": 0.0}
    step = _step(run, config.with_overrides(residual))
    with step.ahead:
        values = step.losses(0, np.random.default_rng(0), torch.Generator())
    assert values["choice"] > 0
    torch.testing.assert_close(values["loss"], values["choice"])
    values["loss"].backward()  # type: ignore[no-untyped-call]
    taste = step.towers.query_fusion.taste
    assert isinstance(taste, torch.nn.Linear)
    assert taste.weight.grad is not None
    assert taste.weight.grad.abs().max() > 0
    plain = _step(run, config)
    with plain.ahead:
        assert "choice" not in plain.losses(0, np.random.default_rng(0), torch.Generator())


def test_portraits_follow_experts_that_train(shop_path: Path, config: Config, tmp_path: Path) -> None:
    changes = {"stage2.expert_rate": 1.0, "stage2.refresh_every": 2, "stage2.steps": 5, "stage1.steps": 2}
    seen: list[np.ndarray] = []
    portraits = _FusionStep._portraits

    def watched(self: _FusionStep, histories: object) -> object:
        if not seen or seen[-1] is not self.features:
            seen.append(self.features)
        return portraits(self, histories)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_FusionStep, "_portraits", watched)
        train(shop_path, tmp_path / "run", config.with_overrides(changes))
    assert len(seen) == 3
    first, *later = (np.asarray(each, dtype=np.float32) for each in seen)
    assert all(np.abs(first - each).max() > 1e-3 for each in later)
    assert not list((tmp_path / "run").glob("*features-*.npy"))


def test_frozen_experts_keep_their_features(run: Path, config: Config) -> None:
    step = _step(run, config)
    before = step.features
    step.begin(config.stage2.refresh_every * 3, hard_now=False)
    assert step.features is before
    assert not step.towers.query_experts.training
    assert torch.is_grad_enabled()


def test_hnst_may_compare_items_without_their_co_clicks(run: Path, config: Config) -> None:
    still = {"fusion.dropout": 0.0, "data.item_picture_dropout": 0.0, "data.coclick_dropout": 0.0}
    step = _step(run, config.with_overrides({**still, "loss.hard_coclicks": False}))
    drawn, rng = _drawn(step), np.random.default_rng(0)
    rows = np.unique(drawn.items)
    step.towers.eval()
    told, untold = step.items(rows, drawn, rng), step.untold(rows, drawn, rng)
    assert untold is not None
    assert not torch.allclose(told, untold, atol=1e-5)
    bare = _step(run, config.with_overrides({**still, "data.coclick_dropout": 1.0}))
    bare.towers.load_state_dict(step.towers.state_dict())
    bare.towers.eval()
    torch.testing.assert_close(bare.items(rows, drawn, rng), untold)
    assert _step(run, config).untold(rows, drawn, rng) is None


def test_nothing_is_mined_where_labels_are_to_do(run: Path, config: Config) -> None:
    for mined, queries in ((True, len(_step(run, config).data.queries)), (False, 0)):
        step = _step(run, config.with_overrides({"loss.mined": mined}))
        step.mine(step.hard_from)
        assert len(step.hard.mined.items) == queries
        step.mining.clear()
