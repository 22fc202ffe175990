"""Texts that pictures are trained against."""

from pathlib import Path

import numpy as np
import pytest

from models.dataset.training_data import TrainingData
from models.towers import Config
from models.training.picture_texts import PictureTexts


@pytest.fixture(scope="module")
def data(run: Path, config: Config) -> TrainingData:
    return TrainingData(run / "data", config)


def test_words_that_titles_hold_weigh_less_in_the_picture_stage(data: TrainingData) -> None:
    shown = np.flatnonzero(data.item_picture >= 0)
    batches = PictureTexts(data, shown)
    told, even = batches.weights(shown, 0.1), batches.weights(shown, 1.0)
    named = batches.words(shown).sum(axis=0)
    assert even[named > 0] == pytest.approx(1.0)
    assert (told * named).sum() == pytest.approx(named.sum(), rel=1e-4)
    assert told[named > 0].max() > 1.0 > told[named > 0].min()
