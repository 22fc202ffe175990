"""How histories are read."""

import torch

from models.towers import preset
from models.towers.experts.layers import unit
from models.towers.portrait_attention import PortraitAttention

CONFIG = preset("tiny")


D, E, P = CONFIG.dimensions.expert_dim, CONFIG.dimensions.embedding_dim, CONFIG.picture.feature_dim


def portraits(rows: int, depth: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    behaviour = torch.randint(1, 4, (rows, depth))
    return unit(torch.randn(rows, depth, 3, D)), behaviour, torch.rand(rows, depth) * 30


def test_no_history_gives_an_all_zero_portrait() -> None:
    portrait = PortraitAttention(3, D)
    nothing = torch.zeros(2, 4, dtype=torch.int64)
    reads = portrait(torch.randn(2, 3, D), torch.randn(2, 4, 3, D), nothing, torch.rand(2, 4))
    assert all(read.abs().max() == 0 for read in reads)


def test_the_zero_slot_lets_history_be_ignored() -> None:
    portrait = PortraitAttention(3, D)
    features, behaviour, age = portraits(2, 4)
    with torch.no_grad():
        portrait.behaviour_bias.fill_(-50.0)
    alike, _ = portrait(torch.randn(2, 3, D), features, behaviour, age)
    assert alike.abs().max() < 1e-6


def test_taste_is_read_from_all_behaviours_whatever_the_query() -> None:
    portrait = PortraitAttention(3, D)
    features, behaviour, age = portraits(2, 4)
    _, taste = portrait(torch.randn(2, 3, D), features, behaviour, age)
    _, again = portrait(torch.randn(2, 3, D), features, behaviour, age)
    torch.testing.assert_close(taste, again)
    known = (behaviour > 0).float()[..., None, None]
    # At the start a plain mean.
    torch.testing.assert_close(taste, (features * known).sum(dim=1) / known.sum(dim=1).clamp(min=1))


def test_portrait_by_hand() -> None:
    portrait = PortraitAttention(3, 2)
    features = torch.zeros(1, 1, 3, 2)
    features[0, 0, :, 0] = 1.0
    query = torch.zeros(1, 3, 2)
    query[0, :, 0] = 0.5
    out, taste = portrait(query, features, torch.tensor([[1]]), torch.zeros(1, 1))
    # One behaviour with score 0.5 * 4, beside the zero slot with score 0.
    weight = torch.sigmoid(torch.tensor(2.0))
    torch.testing.assert_close(out[0, :, 0], weight.expand(3))
    torch.testing.assert_close(taste, features[:, 0])
