"""Early stop on Recall@K of the val split: the best weights are kept, and a stage without progress ends."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from models.towers.config import ValidationConfig
from models.training import ranks


class EarlyStop:
    """Measures a stage every ``every`` steps; ``<stage>-val.csv`` has the figures.

    Args:
        knobs: how often, and how long to wait.
        path: the CSV.
        recall: measures the weights of the moment.
    """

    def __init__(self, knobs: ValidationConfig, path: Path, recall: Callable[[], float]) -> None:
        self._knobs, self._path, self._recall = knobs, path, recall
        #: (step, Recall@K) of every measurement; part of a checkpoint.
        self._seen: list[tuple[int, float]] = []
        self._best: dict[str, Any] = {}

    def due(self, step: int, steps: int) -> bool:
        """Whether to measure after ``step`` steps of ``steps``."""
        return step % self._knobs.every == 0 or step == steps

    def look(self, step: int, module: nn.Module) -> None:
        """Measure the weights, and keep them where they are the best so far."""
        # Rank 0 measures for all, so that all stop at one step.
        value = ranks.agreed(self._recall() if ranks.leads() else 0.0)
        if value > max((seen for _, seen in self._seen), default=-1.0):
            self._best = {name: weight.clone() for name, weight in module.state_dict().items()}
        self._seen.append((step, value))
        self._write()

    @property
    def over(self) -> bool:
        """Whether the last ``patience`` measurements brought nothing better."""
        values = [seen for _, seen in self._seen]
        since = len(values) - 1 - values.index(max(values)) if values else 0
        return self._knobs.patience > 0 and since >= self._knobs.patience

    def keep_best(self, module: nn.Module) -> None:
        """Give the module the best weights."""
        if self._best:
            module.load_state_dict(self._best)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"seen": self._seen, "best": self._best}

    def resume(self, state: dict[str, Any] | None) -> None:
        """Go on from a checkpoint's `state`."""
        if state is not None:
            self._seen, self._best = [(int(step), float(seen)) for step, seen in state["seen"]], state["best"]
        self._write()

    def _write(self) -> None:
        if ranks.leads():
            with self._path.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["step", f"recall@{self._knobs.at}"])
                writer.writerows((step, f"{value:.6g}") for step, value in self._seen)
