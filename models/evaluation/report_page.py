"""The evaluation as one HTML page: tables by slice, intervals drawn, and pictures of hits and misses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import numpy as np

from artifacts.shop.errors import DataError
from artifacts.shop.schema import Item
from artifacts.shop.shop import Shop
from models.evaluation.answers import Answers
from models.evaluation.evaluate import Evaluation
from models.evaluation.html import cell, intervals, note, page, picture, section, table, text
from models.evaluation.measures import DRAWN, MEASURES
from models.evaluation.slices import ALL

_GAINS = {
    "judge": "Relevance is graded by the synthetic shop's judge.",
    "labels": "Relevance is graded by the labels of the shop's events; items without a label count as 0.",
    "teacher": "Relevance is graded by a teacher that learned from clicks and labels, for the first "
    "answers of all systems together; what it says is no ground truth.",
    "clicks": "The shop has no relevance labels: Rele@K is not known, and nDCG@10 counts clicked items.",
}
#: Examples of hits and of misses, and answers shown of each.
_EXAMPLES, _SHOWN = 8, 6
#: Edge of a picture in pixels.
_SIDE = 96


def write_page(evaluation: Evaluation, shop: Shop) -> str:
    """The HTML of the report; it needs nothing beside it."""
    title = f"{evaluation.systems[0]} on {evaluation.shop}, {evaluation.split} split"
    parts = (_summary(evaluation), _slices(evaluation), _gaps(evaluation), _examples(evaluation, shop))
    return page(title, [piece for part in parts for piece in part])


def _summary(e: Evaluation) -> Iterator[str]:
    requests, queries = len(e.held_out.requests), e.held_out.queries
    yield (
        f"<p>{requests:,} held-out requests, {queries:,} distinct queries, {len(e.ids):,} items. "
        f"{_GAINS[e.held_out.gains]} Behind each figure is its 95% interval, by bootstrap over queries.</p>"
    )
    rows = [
        [text(row.system), *map(cell, row.figures.values())]
        for row in e.rows
        if row.slice == next(iter(e.masks))
    ]
    yield section("All that ask for something", table(["system", *MEASURES], rows))
    units = "; ".join(f"{name}: {measure.unit}" for name, measure in MEASURES.items())
    yield note(f"What counts once. {units}.")


def _slices(e: Evaluation) -> Iterator[str]:
    for measure in DRAWN:
        bars = [
            (f"{row.slice} ({e.masks[row.slice].sum():,})", row.figures[measure])
            for row in e.rows
            if row.system == e.systems[0]
        ]
        yield section(f"{measure} by slice", intervals(bars))
    for system in e.systems:
        rows = [
            [text(row.slice), f"{row.requests:,}", *map(cell, row.figures.values())]
            for row in e.rows
            if row.system == system
        ]
        yield section(f"{system} by slice", table(["slice", "requests", *MEASURES], rows))


def _gaps(e: Evaluation) -> Iterator[str]:
    for system, other in dict.fromkeys((c.system, c.against) for c in e.comparisons):
        found = [c for c in e.comparisons if (c.system, c.against) == (system, other)]
        drawn = [(c.slice, c.gap) for c in found if c.measure == DRAWN[0]]
        if not drawn:
            continue
        yield section(f"{system} less {other}", intervals(drawn, zero=True))
        yield note(f"Drawn: {DRAWN[0]}. p: paired permutation test by query, two-sided.")
        rows = [[text(c.slice), text(c.measure), cell(c.gap), f"{c.p:.4f}"] for c in found]
        yield table(["slice", "measure", "difference", "p"], rows)


def _examples(e: Evaluation, shop: Shop) -> Iterator[str]:
    ranks, top = e.answers[0].ranks, e.answers[0].top[:, :_SHOWN]
    asks = e.masks.get(ALL, np.zeros(len(ranks), dtype=np.bool_))
    rng = np.random.default_rng(0)
    groups = {
        "Hits: the clicked item among the first answers": asks & (ranks > 0) & (ranks <= _SHOWN),
        "Misses: the clicked item not in the first hundred": asks & ((ranks == 0) | (ranks > 100)),
    }
    chosen: dict[str, list[int]] = {}
    for name, mask in groups.items():
        places = np.flatnonzero(mask)
        chosen[name] = sorted(rng.choice(places, min(_EXAMPLES, len(places)), replace=False).tolist())
    every = [place for places in chosen.values() for place in places]
    rows = {*top[every].ravel().tolist(), *e.held_out.wanted[every].tolist()}
    items = {row: item for row, item in enumerate(shop.items()) if row in rows}
    for name, drawn in chosen.items():
        yield section(name, *([] if drawn else [note("None.")]))
        for place in drawn:
            yield _example(e.answers[0], place, items, shop)


def _example(answers: Answers, place: int, items: dict[int, Item], shop: Shop) -> str:
    request, rank = answers.held_out.requests[place], int(answers.ranks[place])
    wanted, event = int(answers.held_out.wanted[place]), request.event
    query = f"“{text(event.query)}”" if event.query else "a photo"
    photo = ""
    if event.picture is not None:
        photo = f'<span class="answer">{_picture(shop, event.picture)}asked with</span>'
    found = f"clicked item at rank {rank}" if rank else "clicked item not among the answers"
    head = f'<p class="query">{query} · {len(request.history)} behaviours before · {found}</p>'
    rows = [row for row in answers.top[place, :_SHOWN].tolist() if row >= 0]
    shown = "".join(_answer(items[row], shop, right=row == wanted) for row in rows)
    missed = "" if wanted in rows else f" … {_answer(items[wanted], shop, right=True)}"
    return f"{head}<div>{photo}{shown}{missed}</div>"


def _answer(item: Item, shop: Shop, *, right: bool) -> str:
    kind = "answer right" if right else "answer"
    return f'<span class="{kind}">{_picture(shop, item.picture)}{text(item.title[:60])}</span>'


def _picture(shop: Shop, relative: str | None) -> str:
    if relative is not None:
        with suppress(DataError):
            return f'<img src="{picture(shop.pixels(relative, _SIDE))}" alt="">'
    return '<span class="none"></span>'
