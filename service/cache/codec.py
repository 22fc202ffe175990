"""Values of the cache as bytes: fp16, little-endian, row-major, nothing else."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F16 = npt.NDArray[np.float16]
_WIRE = np.dtype("<f2")


class FeatureCodec:
    """Arrays of one fixed shape ``[3, d]``; bytes of any other length are no value."""

    def __init__(self, experts: int, expert_dim: int) -> None:
        self.shape = (experts, expert_dim)
        self.size = experts * expert_dim * _WIRE.itemsize

    def encode(self, value: F16) -> bytes:
        """The bytes of an array of this shape."""
        if value.shape != self.shape:
            raise ValueError(f"shape {value.shape}, expected {self.shape}")
        return value.astype(_WIRE, copy=False).tobytes()

    def decode(self, data: bytes | None) -> F16 | None:
        """The array, or None for bytes that are none of ours: a wrong length, numbers that are not finite."""
        if data is None or len(data) != self.size:
            return None
        value: F16 = np.frombuffer(data, dtype=_WIRE).reshape(self.shape).astype(np.float16, copy=False)
        return value if bool(np.isfinite(value).all()) else None
