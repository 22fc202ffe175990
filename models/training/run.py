"""What every stage of a training run works with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from common.errors import STOPPED, MrseError
from common.progress import Progress, silent
from models.dataset.training_data import TrainingData
from models.towers import Config


class TrainError(MrseError, ValueError):
    """The run cannot be trained or read; the message says why and what to do."""


class TrainStopped(TrainError):  # noqa: N818 -- no fault
    """Somebody asked the run to stop, and it saved what it had; the message says where it stands."""

    exit_code = STOPPED


@dataclass(frozen=True)
class Run:
    """A training run.

    Attributes:
        data: the shop's arrays.
        folder: the run folder: checkpoints, curves, features.
        device: where the towers train, ``cpu`` or ``cuda``.
        progress: told the stage's name, the units done and in all (None while unknown).
        stopping: whether to stop, asked after each step.
    """

    data: TrainingData
    folder: Path
    device: str = "cpu"
    progress: Progress = silent
    stopping: Callable[[], bool] = lambda: False

    @property
    def config(self) -> Config:
        """All knobs."""
        return self.data.config


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Give torch so many threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
