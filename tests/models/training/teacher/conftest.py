from pathlib import Path

import pytest

from models.dataset.training_data import TrainingData
from models.towers import Config


@pytest.fixture(scope="session")
def run_data(run: Path, config: Config) -> TrainingData:
    return TrainingData(run / "data", config)
