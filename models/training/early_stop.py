"""Early stop on Recall@K of the val split: the best weights are kept, and a stage without progress ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from models.towers.training_config import ValidationConfig
from models.training import ranks


class EarlyStop:
    """Measures a stage every ``every`` steps, by ``recall`` of the weights of the moment."""

    def __init__(self, knobs: ValidationConfig, recall: Callable[[], float]) -> None:
        self._knobs, self._recall = knobs, recall
        self.measure = f"recall@{knobs.at}"
        #: Recall@K of every measurement; part of a checkpoint.
        self._seen: list[float] = []
        self._best: dict[str, Any] = {}

    def due(self, step: int, steps: int) -> bool:
        """Whether to measure after ``step`` steps of ``steps``."""
        return step % self._knobs.every == 0 or step == steps

    def look(self, module: nn.Module) -> float:
        """Measure the weights, and keep them where they are the best so far."""
        # Rank 0 measures for all, so that all stop at one step.
        value = ranks.agreed(self._recall() if ranks.leads() else 0.0)
        if value > max(self._seen, default=-1.0):
            self._best = {name: weight.clone() for name, weight in module.state_dict().items()}
        self._seen.append(value)
        return value

    @property
    def over(self) -> bool:
        """Whether the last ``patience`` measurements brought nothing better."""
        since = len(self._seen) - 1 - self._seen.index(max(self._seen)) if self._seen else 0
        return self._knobs.patience > 0 and since >= self._knobs.patience

    def keep_best(self, module: nn.Module) -> None:
        """Give the module the best weights."""
        if self._best:
            module.load_state_dict(self._best)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"seen": self._seen, "best": self._best}

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's `state`."""
        self._seen, self._best = state["seen"], state["best"]
