"""Adds to the items of an answer what the request wants to be told of them: titles and attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.deadline import Deadline
from index.port import TITLE, IndexUnavailable, ItemTitles, ItemValues
from service.recall.controls.plan import Applied
from service.recall.controls.values import Values
from service.recall.routes.outcome import Item


async def add_fields(
    answer: Sequence[Item],
    fields: Sequence[str],
    source: ItemValues | None,
    titles: ItemTitles | None,
    deadline: Deadline,
    done: Applied,
) -> None:
    """Add ``fields`` to each item, and note it.

    Args:
        answer: the items.
        fields: attributes, or the title.
        source: of attributes; without it they are left out.
        titles: of titles; without it they are left out.
        deadline: of the request.
        done: is told that there are fields, or that some could not be read.
    """
    ids = [item["item_id"] for item in answer]
    names = [name for name in fields if name != TITLE]
    values = await _read_values(ids, names, source, deadline, done)
    read = await _read_titles(ids, titles, deadline, done) if TITLE in fields else None
    if values is None and read is None:
        return
    done.used.append("fields")
    for item in answer:
        item_id, found = item["item_id"], {}
        if read is not None and item_id in read:
            found[TITLE] = read[item_id]
        if values is not None:
            held = zip(names, values.of(item_id), strict=True)
            found |= {name: value for name, value in held if value is not None}
        item["fields"] = found


async def _read_values(
    ids: Sequence[str], names: Sequence[str], source: ItemValues | None, deadline: Deadline, done: Applied
) -> Values | None:
    """Attributes of the answer; None where none is wanted or they cannot be read, which is told."""
    if not names:
        return None
    if source is None:
        done.tell("controls_unavailable")
        return None
    values = Values(source, names, deadline)
    try:
        await values.read(ids)
    except IndexUnavailable:
        done.tell("controls_unavailable")
        return None
    if values.coverage < 1.0:
        done.tell("controls_unavailable")
    return values


async def _read_titles(
    ids: Sequence[str], titles: ItemTitles | None, deadline: Deadline, done: Applied
) -> Mapping[str, str] | None:
    """Titles of the answer; None where they cannot be read, which is told."""
    if titles is None:
        done.tell("controls_unavailable")
        return None
    try:
        return await titles.titles(ids, deadline)
    except IndexUnavailable:
        done.tell("controls_unavailable")
        return None
