"""fastText files are read as fastText does."""

import struct
from pathlib import Path

import numpy as np
import pytest

from models.dataset.training_data import TrainingData
from models.towers import Config, preset
from models.training.pretrained import PretrainedError, resolve
from models.training.pretrained.fasttext import FastText

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
