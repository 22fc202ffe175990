"""Real queries as embeddings: those of a log that are asked most, without a user's history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from cli.console import fail
from common.errors import USAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.arrays import F32

#: Queries encoded at once.
_BATCH: Final = 64


def logged_queries(source: Path, bundle: Path, version: str, count: int) -> F32:
    """Embeddings float32 ``[at most count, dim]`` of the most frequent queries of a shop or a text file."""
    import numpy as np

    from artifacts.bundle import Bundle
    from artifacts.bundle.portrait import build_portraits
    from artifacts.bundle.towers import QueryTower
    from producer.queries import head_queries

    loaded = Bundle.load(bundle)
    if loaded.version != version:
        fail(f"{bundle} is {loaded.version}, but the folder was made by {version}", USAGE)
    texts = head_queries(_queries(source), count)
    if not texts:
        fail(f"{source} has no queries", USAGE)
    tower = QueryTower(loaded, precision="fp32")
    found: list[F32] = []
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        experts = tower.rounded_experts(loaded.text.normal_queries(batch))
        nobody = build_portraits(
            [()] * len(batch), (), (), experts=experts.shape[1], expert_dim=experts.shape[2]
        )
        found.append(tower.fuse(experts, nobody).embedding)
    return np.concatenate(found)


def _queries(source: Path) -> Iterator[str]:
    from artifacts.shop.shop import Shop

    if source.is_dir():
        yield from (event.query for event in Shop.open(source).events() if event.query)
        return
    with source.open(encoding="utf-8", errors="replace") as lines:
        yield from (line.strip() for line in lines)
