"""What has to be stored: a folder, and what changed of it since; for comparing with what is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from artifacts.attributes import CATEGORY
from artifacts.embeddings import EmbeddingsFolder
from common.arrays import F32, Floats
from index.filters import AnyOf, Condition, Filter, Not, Range, any_of, terms
from index.vespa.feed.ledger import Ledger
from index.vespa.feed.merged import Merged
from index.vespa.feed.operations import AttributeValue
from index.vespa.tensors import bfloat16, from_bfloat16, unit_rows
from index.vespa.version import Version

_BATCH: Final = 4096
#: Entries of a list that are looked at.
_ENTRIES: Final = 16
_LOWEST: Final = -1.7976931348623157e308


@dataclass(frozen=True, slots=True)
class Stored:
    """An item as it has to be: its unit vector ``[dim]``, rounded as Vespa holds it, and its attributes."""

    item_id: str
    vector: F32
    attributes: Mapping[str, AttributeValue]
    #: Its picture feature ``[picture_dim]`` of unit length; None without one, or where it was put since.
    picture: F32 | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """How many items there have to be, and some of them; ``unsure`` more could not be fed this time."""

    items: int
    unsure: int
    sample: tuple[Stored, ...]


def expected(folder: EmbeddingsFolder, ledger: Ledger, rows: int, random: np.random.Generator) -> Expected:
    """Read a folder once, a batch at a time, with the changes since it was fed.

    Args:
        folder: what was fed.
        ledger: the changes, and what was refused.
        rows: how many items to remember, about.
        random: draws them.

    Raises:
        EmbeddingsError: the folder is damaged.
    """
    total, as_of, refused = folder.meta.rows, ledger.as_of, ledger.refused
    # Not a permutation of all rows, which would take gigabytes where there are many.
    drawn = np.arange(total) if rows >= total else np.unique(random.integers(0, total, rows))
    # Items that were put since and are not in the folder.
    added = {item_id for item_id, changes in ledger.all_newer(as_of) if changes.whole == "put"}
    items, unsure, first = 0, 0, 0
    sample: list[Stored] = []
    for batch in folder.batches(["id", CATEGORY, *folder.attributes], _BATCH):
        ids = batch.pop("id")
        changed = ledger.newer(ids, as_of)
        added.difference_update(ids)
        gone = sum(changes.whole == "remove" for changes in changed.values())
        out = len(refused.intersection(ids) - changed.keys())
        items, unsure = items + len(ids) - gone - out, unsure + out
        for row in drawn[np.searchsorted(drawn, first) : np.searchsorted(drawn, first + len(ids))]:
            place = int(row) - first
            attributes = {name: column[place] for name, column in batch.items()}
            changes = changed.get(ids[place])
            if (changes is None or changes.whole != "remove") and ids[place] not in refused:
                stored = _stored(ids[place], folder.vectors[row], attributes, changes)
                put = changes is not None and changes.whole == "put"
                sample.append(stored if put else replace(stored, picture=_picture(folder, row)))
        first += len(ids)
    return Expected(items + len(added), unsure, tuple(sample))


def _picture(folder: EmbeddingsFolder, row: int) -> F32 | None:
    if folder.pictures is None or not folder.pictures[row].any():
        return None
    feature: F32 = unit_rows(folder.pictures[row][None])[0]
    return feature


def filters_of(attributes: Mapping[str, AttributeValue], version: Version) -> Filter:
    """Filters that an item with these attributes meets, and one with others does not.

    That a string or list is missing cannot be asked, and what a list holds beside these is not seen.
    """
    # One that every item meets, so that there is a filter.
    clauses: list[Condition | Not] = [Not(AnyOf(CATEGORY, ("\ue001",)))]
    for name, kind in version.attributes.items():
        value = attributes.get(name)
        missing = value is None or (isinstance(value, float) and math.isnan(value))
        match kind:
            case "bool" if missing:
                clauses += [Not(AnyOf(name, (True,))), Not(AnyOf(name, (False,)))]
            case "number" if missing:
                clauses.append(Not(Range(name, low=_LOWEST)))
            case "bool" | "number":
                clauses.append(any_of(name, kind, [value]))
            case _ if isinstance(value, str | list | tuple):
                clauses += [AnyOf(name, (term,)) for term in terms(name, value)[:_ENTRIES]]
    return Filter(tuple(clauses))


def _stored(
    item_id: str, vector: Floats, attributes: Mapping[str, AttributeValue], changes: Merged | None
) -> Stored:
    if changes is not None:
        news = {name: value for name, (_, value) in changes.attributes.items()}
        attributes = news if changes.whole == "put" else {**attributes, **news}
        vector = np.asarray(changes.vector, np.float32) if changes.whole == "put" else vector
    return Stored(item_id, from_bfloat16(bfloat16(unit_rows(vector[None])))[0], attributes)
