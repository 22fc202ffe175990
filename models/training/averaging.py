"""An exponential moving average of the weights (EMA), kept beside them; off at a decay of 0."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class Average:
    """The average of a module's weights over the steps.

    *Inferred*: the decay rises to ``decay`` as (1 + n) / (10 + n) over n steps, so that a short run's
    average does not cling to its first weights.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._module = module
        self._averaged: AveragedModel | None = None
        if decay > 0:

            def mean(average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
                steps = int(count)
                return torch.lerp(current, average, min(decay, (1 + steps) / (10 + steps)))

            self._averaged = AveragedModel(module, avg_fn=mean)

    def update(self) -> None:
        """Add the weights after a step."""
        if self._averaged is not None:
            self._averaged.update_parameters(self._module)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the module the averaged weights inside the block."""
        if self._averaged is None:
            yield
            return
        own = {name: value.clone() for name, value in self._module.state_dict().items()}
        self.keep()
        try:
            yield
        finally:
            self._module.load_state_dict(own)

    def keep(self) -> None:
        """Give the module the averaged weights for good."""
        if self._averaged is not None:
            self._module.load_state_dict(self._averaged.module.state_dict())

    def state(self) -> dict[str, Any] | None:
        """For a checkpoint; None where there is no average."""
        return None if self._averaged is None else self._averaged.state_dict()

    def resume(self, state: dict[str, Any] | None) -> None:
        """Continue from a checkpoint's `state`."""
        if self._averaged is not None and state is not None:
            self._averaged.load_state_dict(state)
