"""fastText vectors fitted into FtAtt's table."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.dataset.training_data import TrainingData
from models.towers import Config
from models.towers.experts.ftatt import FtAtt
from models.training.pretrained import PretrainedError
from models.training.pretrained.fasttext import FastText
from models.training.pretrained.fasttext_fit import fit_ngrams

DIM, BUCKETS = 6, 50


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
