import pytest
import torch

from models.towers import Config, Experts, ImageEncoder, Towers, preset
from models.towers.experts.layers import Attention, masked_mean, unit
from models.towers.fusion import QueryFusion
from models.towers.gate import Gate
from models.towers.portrait_attention import PortraitAttention

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


def portraits(rows: int, depth: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    behaviour = torch.randint(1, 4, (rows, depth))
    return unit(torch.randn(rows, depth, 3, D)), behaviour, torch.rand(rows, depth) * 30


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


def test_no_words_leave_ftatt_silent_and_finite_in_its_gradient() -> None:
    experts = towers().query_experts
    ids, grams, picture, has = expert_inputs()
    out = experts(ids, torch.zeros_like(grams), picture, has)
    assert out[:, 2].abs().max() == 0
    out.sum().backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in experts.parameters())


def test_vbert_is_always_shared_and_text_experts_by_choice() -> None:
    shared, apart = towers(), towers(CONFIG.with_overrides({"experts.share_text_experts": False}))
    assert shared.item_experts is shared.query_experts
    assert apart.item_experts.vbert is apart.query_experts.vbert
    assert apart.item_experts.ftatt is not apart.query_experts.ftatt
    assert len(apart.expert_parameters()) == len({id(p) for p in apart.expert_parameters()})


@pytest.mark.parametrize(("switch", "place"), [("vbert", 0), ("light_bert", 1), ("ftatt", 2)])
def test_a_switched_off_expert_is_zeros(switch: str, place: int) -> None:
    out = towers(CONFIG.with_overrides({f"switches.{switch}": False})).query_experts(*expert_inputs())
    assert out[:, place].abs().max() == 0
    assert out.abs().sum(dim=-1).gt(0).sum() == 6


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


def test_gradient_reaches_what_reads_the_history() -> None:
    fusion = QueryFusion(CONFIG)
    experts = unit(torch.randn(4, 3, D))
    features, behaviour, age = portraits(4, 3)
    target = unit(torch.randn(4, E))
    embedding, _ = fusion(experts, features, behaviour, age)
    (embedding * target).sum().backward()
    assert fusion.history.weight.grad is not None
    assert fusion.history.weight.grad.abs().sum() > 0
    with torch.no_grad():
        fusion.history.weight.normal_(std=0.1)
    embedding, _ = fusion(experts, features, behaviour, age)
    (embedding * target).sum().backward()
    assert fusion.portrait.taste_bias.grad is not None
    assert fusion.portrait.taste_bias.grad.abs().sum() > 0


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


def test_empty_slots_and_their_number_change_nothing() -> None:
    fusion = QueryFusion(CONFIG).eval()
    experts = unit(torch.randn(2, 3, D))
    features, behaviour, age = portraits(2, 3)
    wide = torch.zeros(2, 7, 3, D)
    wide[:, :3] = features
    wide[:, 3:] = 9.0  # what stands in an empty slot is not read
    padded = torch.zeros(2, 7, dtype=torch.int64)
    padded[:, :3] = behaviour
    ages = torch.zeros(2, 7)
    ages[:, :3] = age
    embedding, gate = fusion(experts, features, behaviour, age)
    other, other_gate = fusion(experts, wide, padded, ages)
    torch.testing.assert_close(embedding, other)
    torch.testing.assert_close(gate, other_gate)


def test_gate_sums_to_one_and_starts_even() -> None:
    weights = Gate(3, D, 8)(torch.randn(5, 3, D), torch.randn(5, 3, D))
    torch.testing.assert_close(weights, torch.full((5, 3), 1 / 3))


def test_fusions_give_unit_embeddings_that_start_alike() -> None:
    both = towers()
    experts = unit(torch.randn(6, 3, D))
    none = torch.zeros(6, 1, 3, D)
    query, _ = both.query_fusion(experts, none, torch.zeros(6, 1, dtype=torch.int64), torch.zeros(6, 1))
    item = both.item_fusion(experts, torch.zeros(6, 3, D))
    assert query.shape == item.shape == (6, E)
    torch.testing.assert_close(query.norm(dim=-1), torch.ones(6))
    # Same experts on both sides: near neighbours before any training, thanks to the straight path.
    assert (query * item).sum(dim=-1).min() > 0.8


@pytest.mark.parametrize("switch", ["history", "gate", "coclick"])
def test_switches_of_the_fusion(switch: str) -> None:
    off = towers(CONFIG.with_overrides({f"switches.{switch}": False}))
    experts = unit(torch.randn(2, 3, D))
    features, behaviour, age = portraits(2, 3)
    embedding, gate = off.query_fusion(experts, features, behaviour, age)
    if switch == "history":
        bare, _ = off.query_fusion(experts, features, torch.zeros_like(behaviour), age)
        torch.testing.assert_close(embedding, bare)
    elif switch == "gate":
        torch.testing.assert_close(gate, torch.full((2, 3), 1 / 3))
    else:
        torch.testing.assert_close(
            off.item_fusion(experts, experts), off.item_fusion(experts, torch.zeros_like(experts))
        )


def test_image_encoder_reads_bytes() -> None:
    encoder = ImageEncoder(CONFIG.image, CONFIG.picture).eval()
    side = CONFIG.picture.side
    pixels = torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8)
    feature = encoder(pixels)
    assert feature.shape == (2, P)
    torch.testing.assert_close(feature.mean(dim=1), torch.zeros(2), atol=1e-5, rtol=0)


def test_attention_refuses_heads_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="no multiple"):
        Attention(10, 3)


def test_masked_mean() -> None:
    x = torch.tensor([[[1.0], [3.0], [100.0]], [[1.0], [1.0], [1.0]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    torch.testing.assert_close(masked_mean(x, mask), torch.tensor([[2.0], [0.0]]))


def test_separate_experts_have_their_own_vbert() -> None:
    assert Experts(CONFIG, 50).vbert is not Experts(CONFIG, 50).vbert
