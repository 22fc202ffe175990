"""fastText vectors: both formats are read, and FtAtt's n-grams come near to what they say."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from models.dataset.training_data import TrainingData
from models.towers import Config, preset
from models.towers.experts.ftatt import FtAtt
from models.training.pretrained import PretrainedError, resolve
from models.training.pretrained.fasttext import FastText
from models.training.pretrained.fasttext_fit import fit_ngrams
from models.training.pretrained.lexical import scale_ngrams

DIM, BUCKETS = 6, 50


def fnv(data: bytes) -> int:
    """As fastText writes it: ``h ^ uint32(int8(c))``, times the prime, modulo 2^32."""
    h = 2166136261
    for c in data:
        h = ((h ^ (struct.unpack("b", bytes([c]))[0] % 2**32)) * 16777619) % 2**32
    return h


def write_bin(path: Path, words: list[str], *, version: int = 12, quantised: bool = False) -> np.ndarray:
    """A model with n-grams of 3 to 4 characters; gives its input matrix."""
    matrix = np.random.default_rng(1).normal(size=(len(words) + BUCKETS, DIM)).astype(np.float32)
    with path.open("wb") as file:
        file.write(struct.pack("<2i", 793712314, version))
        file.write(struct.pack("<12id", DIM, 5, 5, 1, 5, 1, 2, 2, BUCKETS, 3, 4, 100, 1e-4))
        file.write(struct.pack("<3i2q", len(words), len(words), 0, 99, -1))
        for word in words:
            file.write(word.encode() + b"\0" + struct.pack("<qb", 7, 0))
        file.write(struct.pack("<?", quantised))
        file.write(struct.pack("<2q", *matrix.shape) + matrix.tobytes())
        file.write(struct.pack("<?2q", False, 0, 0))
    return matrix


def test_a_model_gives_known_and_unknown_words_their_vectors(tmp_path: Path) -> None:
    matrix = write_bin(tmp_path / "m.bin", ["</s>", "shoe", "größe"])
    model = FastText.open(tmp_path / "m.bin")
    assert model.dim == DIM
    found = model.vectors(["shoe", "größe", "hat", "unseen"])
    for word, row in (("shoe", 1), ("größe", 2), ("hat", None)):
        framed = f"<{word}>"
        grams = [framed[i : i + n] for n in (3, 4) for i in range(len(framed) - n + 1)]
        rows = [3 + fnv(gram.encode()) % BUCKETS for gram in grams] + ([] if row is None else [row])
        np.testing.assert_allclose(found[word], matrix[rows].mean(axis=0), rtol=1e-5)
    assert "unseen" in found


def test_a_text_file_gives_its_words(tmp_path: Path) -> None:
    lines = "3 2\nshoe 1 2\na\u2028b 3 4\nhat 5 -6e-1 \n"
    (tmp_path / "m.vec").write_text(lines)
    found = FastText.open(tmp_path / "m.vec").vectors(["hat", "shoe", "none"])
    assert {word: vector.tolist() for word, vector in found.items()} == {
        "shoe": [1.0, 2.0],
        "hat": [5.0, pytest.approx(-0.6)],
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("shoe 1 2\n", "does not begin"),
        ("1 2\nshoe 1 2 3\n", "line 2: has 3 numbers"),
        ("1 2\nshoe 1 x\n", "line 2"),
    ],
)
def test_a_damaged_text_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "m.vec").write_text(content)
    with pytest.raises(PretrainedError, match=message):
        FastText.open(tmp_path / "m.vec").vectors(["shoe"])


def test_a_damaged_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.bin"
    write_bin(path, ["a"], version=9)
    with pytest.raises(PretrainedError, match="version 9"):
        FastText.open(path)
    write_bin(path, ["a"], quantised=True)
    with pytest.raises(PretrainedError, match="quantised"):
        FastText.open(path)
    write_bin(path, ["a"])
    whole = path.read_bytes()
    path.write_bytes(whole[:-800])
    with pytest.raises(PretrainedError, match="cut off"):
        FastText.open(path)
    path.write_bytes(whole[:70])
    with pytest.raises(PretrainedError, match="cannot be read"):
        FastText.open(path)
    with pytest.raises(PretrainedError, match="no such file"):
        resolve(preset("tiny").with_overrides({"experts.fasttext": str(tmp_path / "none.vec")}))


@pytest.fixture(scope="module")
def data(run: Path, config: Config) -> TrainingData:
    wide = config.with_overrides({"text.ngram_buckets": 20_000})
    return TrainingData(run / "data", wide)


def word_vectors(table: torch.Tensor, data: TrainingData, words: list[str]) -> torch.Tensor:
    return torch.stack([table[list(grams)].mean(dim=0) for grams in data.text.ngrams(words)])


@pytest.mark.parametrize("width", [DIM, 60])
def test_words_get_the_angles_of_their_vectors(data: TrainingData, tmp_path: Path, width: int) -> None:
    words = sorted({w for row in range(data.items) for w in data.title(row).lower().split() if w.isalpha()})
    rng = np.random.default_rng(0)
    # Six directions that matter, however wide the vectors are.
    vectors = rng.normal(size=(len(words), DIM)) @ rng.normal(size=(DIM, width))
    lines = [f"{word} {' '.join(map(str, row))}" for word, row in zip(words, vectors, strict=True)]
    (tmp_path / "m.vec").write_text(f"{len(words)} {width}\n" + "\n".join(lines) + "\n")
    torch.manual_seed(0)
    table = FtAtt(20_000, data.config.dimensions.expert_dim, 0.0).ngrams.weight.data
    before = table.clone()
    fit_ngrams(table, FastText.open(tmp_path / "m.vec"), data)
    assert table[0].abs().max() == 0
    # Words that have no vector keep what they had.
    other = list(data.text.ngrams(["zzyzx"])[0])
    kept = (table[other] == before[other]).all(dim=1)
    assert kept.sum() > len(other) / 2
    lengths = [float(word_vectors(t, data, words).norm(dim=1).mean()) for t in (before, table)]
    assert lengths[1] == pytest.approx(lengths[0], rel=0.1)
    centred = torch.from_numpy(vectors - vectors.mean(axis=0)).to(torch.float32)
    wanted = torch.nn.functional.cosine_similarity(centred[:, None], centred[None], dim=2)
    ours = word_vectors(table, data, words)
    got = torch.nn.functional.cosine_similarity(ours[:, None], ours[None], dim=2)
    other = ~torch.eye(len(words), dtype=torch.bool)
    assert torch.corrcoef(torch.stack([wanted[other], got[other]]))[0, 1] > 0.95
    # A typo is nearer to its word than to most others.
    long = max(words, key=len)
    typo = word_vectors(table, data, [long[:-1] + "x"])
    near = torch.nn.functional.cosine_similarity(typo, ours, dim=1)
    assert near.argsort(descending=True)[:3].tolist().count(words.index(long)) == 1


def test_vectors_without_any_word_of_the_shop_are_refused(data: TrainingData, tmp_path: Path) -> None:
    (tmp_path / "m.vec").write_text("1 2\nqqqqqq 1 2\n")
    table = torch.zeros(20_000, 16)
    with pytest.raises(PretrainedError, match="none of the words"):
        fit_ngrams(table, FastText.open(tmp_path / "m.vec"), data)


def test_a_lexical_start_makes_rare_words_longer_than_common_ones(data: TrainingData) -> None:
    torch.manual_seed(0)
    table = FtAtt(20_000, 16, 0.0).ngrams.weight.data
    counts: dict[str, int] = {}
    for row in range(data.items):
        for word in set(data.title(row).lower().split()):
            counts[word] = counts.get(word, 0) + word.isalpha()
    ordered = sorted((word for word, count in counts.items() if count), key=lambda word: counts[word])
    rare, common = ordered[:20], ordered[-20:]
    before = table.norm(dim=1)[1:].mean()
    scale_ngrams(table, data)
    lengths = [float(word_vectors(table, data, words).norm(dim=1).mean()) for words in (rare, common)]
    assert lengths[0] > 1.5 * lengths[1]
    assert 0.5 < table.norm(dim=1)[1:].mean() / before < 10
    assert table[0].abs().max() == 0
