"""The fusion of tastes: what a history may move, and what stays as the words have it."""

import pytest
import torch

from models.towers import Config, Towers, preset
from models.towers.config import ConfigError
from models.towers.experts.layers import unit

KNOBS = {"user.kind": "taste", "taste.dims": 8, "taste.words": 24, "taste.answers": 20.0, "taste.amount": 0.5}
CONFIG = preset("tiny").with_overrides(KNOBS)
D, E, WORDS = CONFIG.dimensions.expert_dim, CONFIG.dimensions.embedding_dim, CONFIG.words_dim


def towers(config: Config = CONFIG, answers: float = 10.0, *, on: bool = True) -> Towers:
    """Towers whose tastes know something, over queries that have e ** ``answers`` answers."""
    torch.manual_seed(0)
    found = Towers(config, 100).eval()
    taste = found.taste
    assert taste is not None
    taste.on = on
    with torch.no_grad():
        taste.reach.fill_(2.0)
        taste.silence.copy_(unit(torch.ones(3, D)).flatten())
        taste.answers[2].weight.zero_()
        taste.answers[2].bias.fill_(answers)
    return found


def portraits(rows: int, depth: int) -> list[torch.Tensor]:
    return [unit(torch.randn(rows, depth, 3, D)), torch.randint(1, 4, (rows, depth)), torch.rand(rows, depth)]


def order(queries: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    return (queries @ items.T).argsort(dim=1, descending=True)


@pytest.fixture
def items() -> torch.Tensor:
    torch.manual_seed(1)
    return unit(torch.randn(50, 3, D))


@torch.no_grad()
def test_without_a_history_the_order_is_that_of_the_words(items: torch.Tensor) -> None:
    plain, tasting, experts = towers(on=False), towers(), unit(torch.randn(6, 3, D))
    features, behaviour, age = portraits(6, 4)
    query, item = plain.query_fusion, plain.item_fusion
    q, i = query(experts, features, behaviour, age)[0], item(items, torch.zeros_like(items))
    assert not q[:, WORDS:].any()
    assert not i[:, WORDS:].any()
    placed = tasting.item_fusion(items, torch.zeros_like(items))
    torch.testing.assert_close(placed.norm(dim=1), torch.ones(len(items)))
    # The words of every item are as long as those of any other.
    torch.testing.assert_close(placed[:, :WORDS] / i[:, :WORDS], torch.full((50, WORDS), 0.8**0.5))
    bare, _, none = tasting.query_fusion(experts, features, torch.zeros_like(behaviour), age)
    assert not none.any()
    assert torch.equal(order(bare, placed), order(q, i))
    asked, gate, pull = tasting.query_fusion(experts, features, behaviour, age)
    torch.testing.assert_close(asked.norm(dim=1), torch.ones(6))
    assert pull.min() > 0
    assert not torch.equal(order(asked, placed), order(q, i))
    # A query's own part is turned by nothing: its history makes it shorter.
    torch.testing.assert_close(unit(asked[:, :WORDS]), bare[:, :WORDS])
    torch.testing.assert_close(gate, tasting.query_fusion(experts, features, 0 * behaviour, age)[1])


@torch.no_grad()
def test_a_history_adds_what_a_liking_is_worth(items: torch.Tensor) -> None:
    whole, experts, own = towers(), unit(torch.randn(3, 3, D)), portraits(3, 4)
    taste = whole.taste
    assert taste is not None
    placed = whole.item_fusion(items, torch.zeros_like(items))
    bare, asked = (whole.query_fusion(experts, own[0], b, own[2])[0] for b in (0 * own[1], own[1]))
    liked = torch.einsum("bk,bkr->br", taste.weights(own[1], own[2]), taste.likings(own[0].flatten(2)))
    gain = taste.own * taste.amount * liked @ taste.likings(items.flatten(1)).T
    # But for the query's own length, which is the same for every item.
    stretch = bare[:, :1] / asked[:, :1]
    torch.testing.assert_close(asked @ placed.T * stretch, bare @ placed.T + gain)


@pytest.mark.parametrize(("answers", "change"), [(2.9, {}), (10.0, {"taste.amount": 0.0})])
@torch.no_grad()
def test_queries_with_few_answers_and_an_amount_of_nothing_are_left_to_their_words(
    items: torch.Tensor, answers: float, change: dict[str, object]
) -> None:
    whole, experts = towers(CONFIG.with_overrides(change), answers), unit(torch.randn(4, 3, D))
    features, behaviour, age = portraits(4, 4)
    asked, _, pull = whole.query_fusion(experts, features, behaviour, age)
    bare, _, _ = whole.query_fusion(experts, features, torch.zeros_like(behaviour), age)
    assert not pull.any()
    torch.testing.assert_close(asked, bare)


@torch.no_grad()
def test_a_query_that_says_nothing_reads_the_portraits() -> None:
    whole = towers()
    assert whole.taste is not None
    silent = whole.taste.silence.view(1, 3, D).expand(2, 3, D)
    features, behaviour, age = portraits(2, 4)
    weight = whole.query_fusion.history.weight
    weight.normal_()
    asked, _, _ = whole.query_fusion(silent, features, behaviour, age)
    bare, _, _ = whole.query_fusion(silent, features, torch.zeros_like(behaviour), age)
    assert (unit(asked[:, :WORDS]) - bare[:, :WORDS]).abs().max() > 1e-2
    # Rounding to fp16, as caches do, makes no words of it.
    torch.testing.assert_close(whole.taste.room(silent.half().float()), torch.ones(2, 1))


@torch.no_grad()
def test_empty_slots_change_nothing() -> None:
    whole, experts = towers(), unit(torch.randn(2, 3, D))
    features, behaviour, age = portraits(2, 3)
    wide = [torch.full((2, 7, 3, D), 9.0), torch.zeros(2, 7, dtype=torch.int64), torch.zeros(2, 7)]
    for long, short in zip(wide, (features, behaviour, age), strict=True):
        long[:, :3] = short
    for one, other in zip(
        whole.query_fusion(experts, features, behaviour, age), whole.query_fusion(experts, *wide), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_tastes_are_of_a_stage_of_their_own_and_of_histories() -> None:
    whole = towers()
    assert whole.taste is not None
    trained = {id(parameter) for parameter in whole.fusion_parameters()}
    assert not trained & {id(parameter) for parameter in whole.taste.parameters()}
    off = CONFIG.with_overrides({"switches.history": False})
    assert (Towers(off, 100).taste, off.words_dim) == (None, E)
    assert CONFIG.with_overrides({"taste.dims": E}).words_dim == E - E // 4
    with pytest.raises(ConfigError, match="no room for tastes"):
        CONFIG.with_overrides({"dimensions.embedding_dim": 7})
