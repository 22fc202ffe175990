"""A lexical start of FtAtt."""

from pathlib import Path

import pytest
import torch

from models.dataset.training_data import TrainingData
from models.towers import Config
from models.towers.experts.ftatt import FtAtt
from models.training.pretrained.lexical import scale_ngrams


@pytest.fixture(scope="module")
def data(run: Path, config: Config) -> TrainingData:
    wide = config.with_overrides({"text.ngram_buckets": 20_000})
    return TrainingData(run / "data", wide)


def word_vectors(table: torch.Tensor, data: TrainingData, words: list[str]) -> torch.Tensor:
    return torch.stack([table[list(grams)].mean(dim=0) for grams in data.text.ngrams(words)])


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
