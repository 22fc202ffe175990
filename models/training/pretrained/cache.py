"""Raw features of a given image encoder by picture hash, on disk: kept through kills and for other runs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from artifacts.shop.shop import Shop
from common.arrays import F32, U8
from common.progress import Progress

_ROWS = 16


class FeatureCache:
    """A file for each encoder: records of a picture's SHA-256 and its feature ``[width]`` in a row.

    It is made where it is not there. One process at a time may write to it.
    """

    def __init__(self, path: Path, width: int) -> None:
        self._path = path
        self._record = np.dtype([("key", "S64"), ("feature", np.float32, (width,))])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        whole = path.stat().st_size // self._record.itemsize
        with path.open("r+b") as file:
            file.truncate(whole * self._record.itemsize)  # a kill may have cut the last record off
        self._places = {row["key"].decode(): place for place, row in enumerate(self._read())}

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def add(self, keys: list[str], features: F32) -> None:
        """Append features ``[n, P]`` by key."""
        rows = np.zeros(len(keys), dtype=self._record)
        rows["key"], rows["feature"] = keys, features
        with self._path.open("ab") as file:
            file.write(rows.tobytes())
        for key in keys:
            self._places[key] = len(self._places)

    def get(self, keys: list[str]) -> F32:
        """Features ``[n, P]`` by key."""
        result: F32 = self._read()["feature"][[self._places[key] for key in keys]]
        return result

    def _read(self) -> npt.NDArray[np.void]:
        if not self._path.stat().st_size:
            return np.zeros(0, dtype=self._record)
        return np.memmap(self._path, dtype=self._record, mode="r")


def raw_features(
    encoder: nn.Module,
    shop: Shop,
    files: list[str],
    side: int,
    cache: FeatureCache,
    progress: Progress,
    device: str = "cpu",
) -> F32:
    """Raw features float32 ``[n, R]`` of picture files; only those that are new are computed.

    Raises:
        DataError: a file is missing or no picture.
    """
    keys: list[str] = []
    waiting: dict[str, U8] = {}
    encoder = encoder.to(device)

    def flush() -> None:
        with torch.no_grad():
            pixels = torch.from_numpy(np.stack(list(waiting.values()))).to(device)
            cache.add(list(waiting), encoder(pixels).cpu().numpy())
        waiting.clear()

    for place, file in enumerate(files, start=1):
        keys.append(hashlib.sha256(shop.picture(file)).hexdigest())
        if keys[-1] not in cache and keys[-1] not in waiting:
            waiting[keys[-1]] = shop.pixels(file, side)
        if len(waiting) == _ROWS or (waiting and place == len(files)):
            flush()
            progress("picture features", place, len(files))
    encoder.cpu()
    return cache.get(keys)
