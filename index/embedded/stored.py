"""What is held of items by their ids, as of a state (as in `nearest`): in its base, or put since."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from common.arrays import F16, F32, I64
from index.embedded.forward import put_value
from index.embedded.live import LiveIndex
from index.embedded.state import State
from index.embedded.write_buffer import Described


class _Found(NamedTuple):
    """Known ids, and where each is.

    ``order`` has each id's place among the rows of the base and, behind them, those of the write buffer; it
    is None where all are in the base, in the order of the ids.
    """

    known: list[str]
    base: I64
    put: list[int]
    described: list[Described]
    order: list[int] | None


def vectors(live: LiveIndex, state: State, ids: Sequence[str]) -> tuple[list[str], F32]:
    """Known ids in the order asked, and their vectors, float32 ``[n, dim]``."""
    known, base, put, _, order = _find(live, state, ids)
    vectors = state.base.vectors.decode(base)
    return known, vectors if order is None else np.concatenate([vectors, state.buffer.vectors(put)])[order]


def features(live: LiveIndex, state: State, ids: Sequence[str]) -> tuple[list[str], F16]:
    """Known ids in the order asked, and their features, float16 ``[n, experts, expert_dim]``."""
    known, base, put, _, order = _find(live, state, ids)
    features = state.base.features[base]
    return known, features if order is None else np.concatenate([features, state.buffer.features(put)])[order]


def values(
    live: LiveIndex, state: State, ids: Sequence[str], names: Sequence[str]
) -> tuple[list[str], dict[str, list[Any]]]:
    """Known ids in the order asked, and some of their attributes, a list for each name."""
    known, base, _, described, order = _find(live, state, ids)
    kinds, found = state.manifest.attributes, {}
    for name in names:
        held = state.base.forward.values(name, kinds[name], base)
        if order is not None:
            held += [put_value(name, kinds[name], each.attributes.get(name)) for each in described]
            held = [held[place] for place in order]
        found[name] = held
    return known, found


def texts(live: LiveIndex, state: State, ids: Sequence[str], name: str) -> dict[str, str]:
    """A text field of the known ids that have it; reads the texts' file, so not for the event loop."""
    known, base, _, described, order = _find(live, state, ids)
    words = state.base.words
    held = [""] * len(base) if words is None else words.texts.column(name, base.tolist())
    if order is not None:
        held += [each.texts.get(name, "") for each in described]
        held = [held[place] for place in order]
    return {item_id: text for item_id, text in zip(known, held, strict=True) if text}


def _find(live: LiveIndex, state: State, ids: Sequence[str]) -> _Found:
    if not state.buffer.rows and not state.tombstones.count:
        return _Found(*state.base.ids.find(ids), [], [], None)
    with live.lock:  # as of one moment: a row that is superseded later has forgotten what described it
        put = {item_id: row for item_id in ids if (row := state.buffer.row(item_id)) is not None}
        described = [state.buffer.described(row) for row in put.values()]
    in_base, rows = state.base.ids.find([item_id for item_id in ids if item_id not in put])
    alive = state.tombstones.alive[rows]
    living = [item_id for item_id, lives in zip(in_base, alive.tolist(), strict=True) if lives]
    places = {item_id: place for place, item_id in enumerate([*living, *put])}
    known = [item_id for item_id in ids if item_id in places]
    order = [places[item_id] for item_id in known]
    return _Found(known, rows[alive], list(put.values()), described, order)
