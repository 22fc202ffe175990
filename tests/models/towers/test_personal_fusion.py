"""The residual fusion: what a history may change, and what it may not."""

import pytest
import torch

from models.towers import Config, Towers, preset
from models.towers.config import ConfigError
from models.towers.experts.layers import unit
from models.towers.fusion import PersonalFusion

CONFIG = preset("tiny").with_overrides(
    {"user.kind": "residual", "user.interests": 3, "user.item_buckets": 32, "user.width": 16}
)
D, E = CONFIG.dimensions.expert_dim, CONFIG.dimensions.embedding_dim


def fusion(config: Config = CONFIG) -> PersonalFusion:
    torch.manual_seed(0)
    found = Towers(config, 100).eval().query_fusion
    assert isinstance(found, PersonalFusion)
    return found


def portraits(rows: int, depth: int) -> list[torch.Tensor]:
    behaviour = torch.randint(1, 4, (rows, depth))
    items = torch.randint(0, 2**32, (rows, depth))
    return [unit(torch.randn(rows, depth, 3, D)), behaviour, torch.rand(rows, depth) * 30, items]


def test_a_history_turns_the_query_by_its_pull_and_no_history_leaves_it() -> None:
    whole, experts = fusion(), unit(torch.randn(4, 3, D))
    own = portraits(4, 3)
    embedding, gate, pull, interests = whole(experts, *own)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(interests.norm(dim=2), torch.ones(4, 3))
    torch.testing.assert_close(gate.sum(dim=1), torch.ones(4))
    torch.testing.assert_close(pull, torch.full((4,), CONFIG.user.pull))
    nothing = [own[0], torch.zeros_like(own[1]), own[2], own[3]]
    bare, _, none, _ = whole(experts, *nothing)
    assert not none.any()
    assert (bare - embedding).abs().max() > 1e-4
    # Whatever the taste is, a pull of 0 gives the query's own vector.
    with torch.no_grad():
        whole.pull[-1].bias.fill_(-1e4)
    still, again, _, _ = whole(experts, *own)
    torch.testing.assert_close(again, gate)
    with torch.no_grad():
        whole.gate.hidden.weight.zero_()
    bare, _, _, _ = whole(experts, *nothing)
    still, _, _, _ = whole(experts, *own)
    torch.testing.assert_close(still, bare)


def test_what_the_words_say_can_stay_while_the_taste_turns_the_rest() -> None:
    whole, experts = fusion(CONFIG.with_overrides({"user.pull_each": True})), unit(torch.randn(4, 3, D))
    own = portraits(4, 3)
    with torch.no_grad():
        whole.gate.hidden.weight.zero_()
        whole.pull[-1].bias[: E // 2] = -1e4
    embedding, _, pull, _ = whole(experts, *own)
    torch.testing.assert_close(pull, torch.full((4,), CONFIG.user.pull / 2))
    bare, _, none, _ = whole(experts, own[0], torch.zeros_like(own[1]), own[2], own[3])
    assert not none.any()
    said, rest = torch.split(embedding / bare, E // 2, dim=1)
    # But for the length, which is 1, the first half is the query's own.
    torch.testing.assert_close(said, said[:, :1].expand_as(said), rtol=1e-3, atol=1e-3)
    assert (rest - said[:, :1]).abs().amax(dim=1).min() > 1e-2


def test_empty_slots_and_their_number_change_nothing() -> None:
    whole, experts = fusion(), unit(torch.randn(2, 3, D))
    features, behaviour, age, items = portraits(2, 3)
    wide = [torch.full((2, 7, 3, D), 9.0), torch.zeros(2, 7, dtype=torch.int64), torch.zeros(2, 7)]
    wide.append(torch.full((2, 7), 5))
    for long, short in zip(wide, (features, behaviour, age, items), strict=True):
        long[:, :3] = short
    for one, other in zip(
        whole(experts, features, behaviour, age, items), whole(experts, *wide), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_interests_read_the_user_and_not_the_query() -> None:
    whole, own = fusion(), portraits(2, 3)
    one, other = (whole(unit(torch.randn(2, 3, D)), *own)[3] for _ in range(2))
    torch.testing.assert_close(one, other)
    assert (one[0] - one[1]).abs().max() > 1e-3
    assert (one[:, 0] - one[:, 1]).abs().max() > 1e-2, "they do not start as one"


def test_gradient_reaches_every_weight() -> None:
    whole = fusion().train()
    target = unit(torch.randn(8, E))
    with torch.no_grad():  # behind weights that start at zero nothing is learnt in the first step
        for weight in (whole.history.weight, whole.pull[-1].weight, whole.gate.out.weight):
            weight.normal_(std=0.1)
    embedding, _, _, interests = whole(unit(torch.randn(8, 3, D)), *portraits(8, 4))
    ((embedding + interests.sum(dim=1)) * target).sum().backward()
    untouched = [name for name, p in whole.named_parameters() if p.grad is None or not p.grad.any()]
    assert untouched == []


def test_the_history_can_be_switched_off() -> None:
    off = fusion(CONFIG.with_overrides({"switches.history": False}))
    experts, own = unit(torch.randn(2, 3, D)), portraits(2, 3)
    embedding, _, pull, _ = off(experts, *own)
    bare, _, _, _ = off(experts, own[0], torch.zeros_like(own[1]), *own[2:])
    torch.testing.assert_close(embedding, bare)
    assert not pull.any()


def test_popularity_is_a_direction_of_the_item() -> None:
    towers = Towers(CONFIG.with_overrides({"fusion.popularity": True}), 100).eval()
    features = unit(torch.randn(2, 3, D))
    none = torch.zeros_like(features)
    rare, known = (towers.item_fusion(features, none, torch.full((2, 1), n)) for n in (0.0, 2.0))
    assert (rare - known).abs().max() > 1e-3
    assert towers.item_fusion.inputs == ("features", "coclick", "statistics")


def test_interests_need_the_encoder() -> None:
    with pytest.raises(ConfigError, match="residual"):
        preset("tiny").with_overrides({"user.interests": 2})
    with pytest.raises(ConfigError, match="heads"):
        CONFIG.with_overrides({"user.width": 15})
