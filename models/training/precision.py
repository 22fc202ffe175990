"""bfloat16 for the towers on GPUs, float32 for cosines and losses; on CPUs everything stays float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def mixed(device: str, *, bf16: bool) -> AbstractContextManager[object]:
    """Autocast to bfloat16 where the device is a GPU that has it and ``bf16`` asks for it; else nothing.

    Weights, gradients and the optimiser's state stay float32; bfloat16 has float32's range, so that losses
    need no scaling.
    """
    if not bf16 or torch.device(device).type != "cuda" or not torch.cuda.is_bf16_supported():
        return nullcontext()
    return torch.autocast("cuda", dtype=torch.bfloat16)


def full(device: str) -> AbstractContextManager[object]:
    """Float32 inside of `mixed`: bfloat16 has too few digits for cosines that a loss scales."""
    kind = torch.device(device).type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def cosines(left: Tensor, right: Tensor) -> Tensor:
    """float32 ``[B, N]`` between unit vectors ``[B, d]`` and ``[N, d]``, `mixed` or not."""
    with full(left.device.type):
        return left.float() @ right.float().T
