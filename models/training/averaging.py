"""An exponential moving average of the weights (EMA), kept beside them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class Average(AveragedModel):
    """The average of a module's weights over the steps, added by ``update_parameters``.

    *Inferred*: the decay rises to ``decay`` as (1 + n) / (10 + n) over n steps, so that a short run's
    average does not cling to its first weights.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        def mean(average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
            steps = int(count)
            return torch.lerp(current, average, min(decay, (1 + steps) / (10 + steps)))

        super().__init__(module, avg_fn=mean)

    @contextmanager
    def in_place(self, module: nn.Module) -> Iterator[None]:
        """Give the module the averaged weights inside the block."""
        own = {name: value.clone() for name, value in module.state_dict().items()}
        module.load_state_dict(self.module.state_dict())
        try:
            yield
        finally:
            module.load_state_dict(own)
