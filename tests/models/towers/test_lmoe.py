"""The experts side by side."""

import pytest
import torch

from models.towers import Config, Experts, Towers, preset

CONFIG = preset("tiny")


D, E, P = CONFIG.dimensions.expert_dim, CONFIG.dimensions.embedding_dim, CONFIG.picture.feature_dim


def towers(config: Config = CONFIG) -> Towers:
    torch.manual_seed(0)
    return Towers(config, 100).eval()


def expert_inputs(rows: int = 3, length: int = 6) -> tuple[torch.Tensor, ...]:
    ids = torch.randint(4, 100, (rows, length))
    ids[:, 0] = 2
    grams = torch.randint(1, CONFIG.text.ngram_buckets, (rows, 4, 5))
    return ids, grams, torch.randn(rows, P), torch.tensor([1.0, 0.0, 1.0][:rows])


def test_experts_give_three_unit_vectors() -> None:
    out = towers().query_experts(*expert_inputs())
    assert out.shape == (3, 3, D)
    torch.testing.assert_close(out.norm(dim=-1), torch.ones(3, 3))


def test_padding_changes_nothing() -> None:
    experts = towers().query_experts
    ids, grams, picture, has = expert_inputs()
    longer = torch.cat([ids, torch.zeros(3, 5, dtype=torch.int64)], dim=1)
    wider = torch.zeros(3, 9, 8, dtype=torch.int64)
    wider[:, :4, :5] = grams
    torch.testing.assert_close(experts(ids, grams, picture, has), experts(longer, wider, picture, has))


def test_without_picture_its_feature_is_not_looked_at() -> None:
    experts = towers().query_experts
    ids, grams, picture, _ = expert_inputs()
    none = torch.zeros(3)
    torch.testing.assert_close(
        experts(ids, grams, picture, none), experts(ids, grams, torch.zeros_like(picture), none)
    )


def test_picture_reaches_vbert_alone() -> None:
    experts = towers().query_experts
    ids, grams, picture, _ = expert_inputs()
    with_picture = experts(ids, grams, picture, torch.ones(3))
    without = experts(ids, grams, picture, torch.zeros(3))
    assert (with_picture[:, 0] - without[:, 0]).abs().max() > 1e-3
    torch.testing.assert_close(with_picture[:, 1:], without[:, 1:])


def test_vbert_tells_what_a_picture_shows_though_its_blocks_lose_it() -> None:
    torch.manual_seed(0)
    experts = towers().query_experts
    ids = torch.full((2000, 1), 2)
    picture = torch.randn(2000, P)
    said = experts(ids, torch.zeros(2000, 1, 1, dtype=torch.int64), picture, torch.ones(2000))[:, 0].detach()
    # A thing that the feature shows: which side of a plane it lies on. A linear reader of VBert finds it.
    shown = torch.sign(picture @ torch.randn(P, 20))
    told = torch.linalg.lstsq(said[:1000], shown[:1000]).solution
    right = (torch.sign(said[1000:] @ told) == shown[1000:]).float().mean()
    assert right > 0.75


def test_no_words_leave_ftatt_silent_and_finite_in_its_gradient() -> None:
    experts = towers().query_experts
    ids, grams, picture, has = expert_inputs()
    out = experts(ids, torch.zeros_like(grams), picture, has)
    assert out[:, 2].abs().max() == 0
    out.sum().backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in experts.parameters())


@pytest.mark.parametrize(("switch", "place"), [("vbert", 0), ("light_bert", 1), ("ftatt", 2)])
def test_a_switched_off_expert_is_zeros(switch: str, place: int) -> None:
    out = towers(CONFIG.with_overrides({f"switches.{switch}": False})).query_experts(*expert_inputs())
    assert out[:, place].abs().max() == 0
    assert out.abs().sum(dim=-1).gt(0).sum() == 6


def test_separate_experts_have_their_own_vbert() -> None:
    assert Experts(CONFIG, 50).vbert is not Experts(CONFIG, 50).vbert
