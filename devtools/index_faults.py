"""An index whose content is known, damage to its files, and whether the damage is found."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from common.deadline import Deadline
from common.errors import MrseError
from devtools.embeddings import make_embeddings, random_items, unit_vectors
from index.changes import ItemPut, ItemUpdate
from index.embedded.build import build_index
from index.embedded.index import EmbeddedIndex
from index.embedded.verify import verify_index
from index.filters import parse_filter

DIM = 16
_FILTERS: tuple[Mapping[str, Any], ...] = (
    {"brand": "acme"},
    {"price": {"lt": 30}},
    {"in_stock": True},
    {"tags": "red"},
    {"category": "shoes"},
)

#: ``found``: refused when opened, or told by `verify_index`; ``silent``: neither, and its content differs.
Verdict = Literal["found", "harmless", "silent"]
#: Changes the bytes of a file.
Damage = Callable[[bytearray, random.Random], None]


async def make_index(folder: Path) -> Path:
    """Build an index of lists with a log of puts, updates and removals; its folder."""
    make_embeddings(folder / "e", rows=60, dim=DIM, expert_dim=8)
    build_index(folder / "e", folder / "index", cluster_rows=20)
    index = EmbeddedIndex.open(folder / "index")
    vectors, items = unit_vectors(30, DIM, seed=5), random_items(30, seed=6)
    for number in range(0, 30, 3):
        puts = [
            ItemPut(f"new-{row}", vectors[row], None, items[row]["category"], {"brand": items[row]["brand"]})
            for row in range(number, number + 3)
        ]
        await index.upsert(puts, Deadline.after(60))
        await index.update([ItemUpdate(f"item-{number}", {"price": number})], Deadline.after(60))
        await index.remove([f"item-{number + 1}"], Deadline.after(60))
    await index.close()
    return folder / "index"


async def contents(root: Path) -> dict[str, Any]:
    """All that an index holds: items, vectors, features, and what filters find.

    Raises:
        IndexDamaged: it is refused.
    """
    index = EmbeddedIndex.open(root)
    try:
        queries = unit_vectors(1, DIM)
        (found,) = await index.search(queries, 10_000, None, Deadline.after(60))
        ids = sorted(found.ids)
        stored = await index.vectors(ids, Deadline.after(60))
        known, features = await index.features(ids, Deadline.after(60))
        matches = []
        for raw in _FILTERS:
            accepted = parse_filter(raw, index.attributes)
            (accepting,) = await index.search(queries, 10_000, accepted, Deadline.after(60))
            matches.append(sorted(accepting.ids))
        items = (await index.stats()).items
        return {
            "ids": ids,
            "items": items,
            "vectors": stored.vectors.tobytes(),
            "features": (known, features.tobytes()),
            "matches": matches,
        }
    finally:
        await index.close()


async def verdict(root: Path, expected: Mapping[str, Any]) -> Verdict:
    """What comes of an index that may be damaged."""
    if verify_index(root):
        return "found"
    try:
        return "harmless" if await contents(root) == expected else "silent"
    except MrseError:
        return "found"


def corrupt(root: Path, chance: random.Random) -> str:
    """Damage one file of an index folder at random; says which and how."""
    paths = sorted(path for path in root.rglob("*") if path.is_file() and path.stat().st_size)
    path, (name, damage) = chance.choice(paths), chance.choice(list(_DAMAGES.items()))
    if name == "missing":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        damage(content, chance)
        path.write_bytes(content)
    return f"{name} in {path.relative_to(root)}"


def _bit(content: bytearray, chance: random.Random) -> None:
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def _range(content: bytearray, chance: random.Random) -> slice:
    size = min(len(content), chance.choice((8, 64, 512, 4096)))
    start = chance.randrange(len(content) - size + 1)
    return slice(start, start + size)


def _zeros(content: bytearray, chance: random.Random) -> None:
    place = _range(content, chance)
    content[place] = bytes(place.stop - place.start)


def _noise(content: bytearray, chance: random.Random) -> None:
    place = _range(content, chance)
    content[place] = chance.randbytes(place.stop - place.start)


def _cut(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def _gap(content: bytearray, chance: random.Random) -> None:
    del content[_range(content, chance)]


def _twice(content: bytearray, chance: random.Random) -> None:
    place = _range(content, chance)
    content[place.stop : place.stop] = content[place]


def _zero_end(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content))
    content[start:] = bytes(len(content) - start)


def _nothing(content: bytearray, chance: random.Random) -> None:
    raise AssertionError("this one removes the file")


_DAMAGES: Mapping[str, Damage] = {
    "bit": _bit,
    "zeros": _zeros,
    "noise": _noise,
    "cut": _cut,
    "gap": _gap,
    "twice": _twice,
    "zero end": _zero_end,
    "missing": _nothing,
}
