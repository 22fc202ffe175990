"""Several processes that train one model (torchrun): their ranks, shares of a batch, and gathering.

Every rank draws the same batch from the same seeds, encodes its share of the rows and gathers the others'
embeddings, so that each sees all in-batch, uniform and hard negatives and computes the whole loss: W ranks
with a batch of B learn what one process with a batch of W·B learns. With one process nothing here has
an effect.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from common.errors import MrseError
from models.dataset.histories import Rows

#: Others wait this long for what rank 0 does alone, such as preparing a log.
_PATIENCE = timedelta(days=2)
#: Whether this process is inside `alone`.
_ALONE: ContextVar[bool] = ContextVar("alone", default=False)
T = TypeVar("T")


class DeviceError(MrseError, ValueError):
    """The device is not available, or the processes cannot reach each other."""


def usable(device: str) -> str:
    """The device, if torch can use it.

    Raises:
        DeviceError: torch does not know the device, or this machine has none.
    """
    try:
        kind = torch.device(device)
    except RuntimeError as error:
        raise DeviceError(f"device {device!r}: torch knows no such device; use cpu or cuda") from error
    if kind.type not in ("cpu", "cuda"):
        raise DeviceError(f"device {device!r}: only cpu and cuda are supported")
    if kind.type == "cuda":
        if not torch.cuda.is_available():
            built = "" if torch.version.cuda else "; this torch is built without CUDA"
            raise DeviceError(f"device {device!r}: no CUDA device is usable here{built}")
        if (kind.index or 0) >= torch.cuda.device_count():
            raise DeviceError(f"device {device!r}: there are only {torch.cuda.device_count()} CUDA devices")
    return device


@contextmanager
def joined(device: str) -> Iterator[str]:
    """Join the processes that torchrun started, if it did; gives the device of this one.

    The environment (WORLD_SIZE, LOCAL_RANK and what torch reads to meet the others) is read here and
    nowhere else. Processes on CPUs talk over gloo, those on GPUs over nccl, one GPU each (``cuda``).

    Raises:
        DeviceError: see `usable`.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield usable(device)
        return
    if not dist.is_available():
        raise DeviceError("this torch is built without torch.distributed, which several processes need")
    on_gpu = torch.device(usable(device)).type == "cuda"
    own = usable(f"cuda:{int(os.environ['LOCAL_RANK'])}") if on_gpu else device
    if on_gpu:
        torch.cuda.set_device(own)
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=_PATIENCE)
    try:
        yield own
    finally:
        dist.destroy_process_group()


def count() -> int:
    """How many processes train."""
    return dist.get_world_size() if _many() else 1


def leads() -> bool:
    """Whether this is rank 0: the one that writes files and tells of progress."""
    return not _many() or dist.get_rank() == 0


@contextmanager
def leader_first() -> Iterator[None]:
    """Rank 0 runs the block first, then the others do, and find its files."""
    many, first = _many(), leads()
    if not first:
        dist.barrier()
    yield
    if many and first:
        dist.barrier()


@contextmanager
def alone() -> Iterator[None]:
    """As `leader_first`; inside of it every rank acts as a single process: nothing is shared or gathered."""
    with leader_first():
        token = _ALONE.set(True)
        try:
            yield
        finally:
            _ALONE.reset(token)


def agreed(value: T) -> T:
    """Rank 0's value on every rank."""
    if not _many():
        return value
    box: list[Any] = [value]
    dist.broadcast_object_list(box)
    result: T = box[0]
    return result


def share(rows: int) -> Rows:
    """This rank's rows of a batch; each rank has as many, the last row is repeated to fill up."""
    if not _many():
        return slice(None)
    each = -(-rows // dist.get_world_size())
    return (np.arange(each) + each * dist.get_rank()).clip(max=rows - 1)


def gather(own: Tensor, rows: int) -> Tensor:
    """The shares of all ranks put together, ``[rows, …]``; gradients flow into this rank's rows."""
    if not _many():
        return own
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, own.detach().contiguous())
    parts[dist.get_rank()] = own
    return torch.cat(parts)[:rows]


def spread_seed(seed: int) -> int:
    """A seed of its own for each rank, for dropout over its share; rank 0 keeps the one given."""
    return seed if leads() else (seed + 7_919 * dist.get_rank()) % 2**62


def together(
    module: nn.Module, trained: list[nn.Parameter], losses: Callable[..., dict[str, Tensor]]
) -> Callable[..., dict[str, Tensor]]:
    """``losses`` such that ``backward`` of W times the first one gives the gradient of all W ranks.

    Every rank computes the whole loss, but only its own rows lead back to its weights: the gradient is the
    sum over ranks, and DistributedDataParallel gives the mean.
    """
    if not _many():
        return losses
    chosen = {id(parameter) for parameter in trained}
    for parameter in module.parameters():
        parameter.requires_grad_(id(parameter) in chosen)
    parallel: Callable[..., dict[str, Tensor]] = DistributedDataParallel(
        _Step(module, losses), find_unused_parameters=True
    )
    return parallel


class _Step(nn.Module):
    """A step's losses as the forward pass of a module, as DistributedDataParallel wants it."""

    def __init__(self, module: nn.Module, losses: Callable[..., dict[str, Tensor]]) -> None:
        super().__init__()
        self.module, self.forward = module, losses


def _many() -> bool:
    return dist.is_available() and dist.is_initialized() and not _ALONE.get()
