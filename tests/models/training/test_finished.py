"""A finished run is read back."""

from pathlib import Path

import pytest

from models.training import TrainError, load_finished


def test_an_unfinished_run_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="no finished run"):
        load_finished(tmp_path)
