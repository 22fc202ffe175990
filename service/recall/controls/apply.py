"""Puts the controls of a request to what its routes found.

The order: bans leave before anything is ranked; boosts change scores; pins stand first; a limit lets the best
of each value through, and where fewer than k are left the routes are asked again, for items of other values.
All of it honours the request's filters, for every item comes from a route or is looked up and tested.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from index.matching import accepts, fields_of
from index.port import IndexUnavailable, ItemTitles, ItemValues
from service.recall.boosts import boosted, worths
from service.recall.controls.fields import add_fields
from service.recall.controls.plan import Applied, Outcomes, Plan
from service.recall.controls.values import Values
from service.recall.diversity import MAX_ROUNDS, MOST_WIDER, WIDER, Limiter
from service.recall.merge import Mix, Ranking, cut, ranked
from service.recall.routes.outcome import Candidate, Item, RouteOutcome, Source
from service.recall.routes.route import RouteRequest

#: Runs the routes once more, for another request.
RunAgain = Callable[[RouteRequest], Awaitable[Outcomes]]


async def apply(
    planned: Plan,
    request: RouteRequest,
    outcomes: Outcomes,
    mix: Mix,
    source: ItemValues | None,
    titles: ItemTitles | None,
    run_again: RunAgain,
) -> Applied:
    """The answer, as the controls want it.

    Args:
        planned: from `plan`.
        request: what the routes were asked.
        outcomes: what they found.
        mix: how their items are merged.
        source: of attributes; without it pins that no route found, boosts, limits and fields are left out.
        titles: of titles; without it they are left out.
        run_again: asks the routes once more.
    """
    work = _Work(planned, request, dict(outcomes), mix, source, titles)
    await work.read_candidates()
    ranking, allowed = work.rank()
    await work.fill(ranking, allowed, run_again)
    return await work.finish()


class _Work:
    """One request on its way through the controls."""

    def __init__(
        self,
        planned: Plan,
        request: RouteRequest,
        outcomes: dict[str, RouteOutcome],
        mix: Mix,
        source: ItemValues | None,
        titles: ItemTitles | None,
    ) -> None:
        self._plan = planned
        self._request = request
        self._mix = mix
        self._source = source
        self._titles = titles
        self.done = Applied((), outcomes)
        self._outcomes = outcomes
        self._filter_fields = () if request.filters is None else fields_of(request.filters)
        names = list(planned.wanted.attributes)
        if planned.ruling.pins:
            names += [name for name in self._filter_fields if name not in names]
        self._values = None if source is None else Values(source, names, request.deadline)
        self._worth = worths(planned.wanted.boosts, request.now)
        self._boosts = [boost.attribute for boost in planned.wanted.boosts]
        self._ranking = Ranking([], {})
        self._allowed: list[Item] = []
        self._pins: list[str] = []
        self._left_out = 0
        self._rounds = 0

    async def read_candidates(self) -> None:
        """Read what the candidates and pins are judged by."""
        ids = [c.item_id for outcome in self._outcomes.values() for c in outcome.candidates]
        found = set(ids)
        await self._read([*ids, *(item for item in self._plan.ruling.pins if item not in found)])
        self._choose_pins(found)

    async def _read(self, ids: Sequence[str]) -> None:
        values = self._values
        if values is None:
            if self._plan.wanted.attributes:
                self._give_up()
            return
        try:
            # Without a name there is nothing to read of what a route found; whether a pin is there, there is.
            await values.read(ids if values.names else self._plan.ruling.pins, existence=not values.names)
        except IndexUnavailable:
            self._give_up()
            return
        if values.coverage < 1.0:
            self.done.tell("controls_unavailable")

    def _give_up(self) -> None:
        self._values = None
        self.done.tell("controls_unavailable")

    def _choose_pins(self, found: set[str]) -> None:
        told: list[dict[str, Any]] = []
        for item_id in self._plan.ruling.pins:
            reason = None if item_id in found else self._why_not(item_id)
            if reason is None and len(self._pins) < self._plan.k:
                self._pins.append(item_id)
                told.append({"item_id": item_id, "place": len(self._pins)})
            else:
                told.append({"item_id": item_id, "reason": reason or "there is no place left"})
        if told:
            self.done.explain["pins"] = told
        if self._pins:
            self.done.used.append("pins")

    def _why_not(self, item_id: str) -> str | None:
        """Why an item that no route found is not pinned."""
        values, filters = self._values, self._request.filters
        if values is None:
            return "its attributes could not be read"
        if not values.has(item_id):
            return "not in the index" if values.coverage == 1.0 else "not reached"
        read = {name: values.one(item_id, name) for name in self._filter_fields}
        return None if filters is None or accepts(filters, read) else "does not pass the filters"

    def rank(self) -> tuple[Ranking, list[Item]]:
        """All candidates in their order, and those that a limit lets through."""
        bans = self._plan.ruling.bans
        routes: dict[str, Sequence[Candidate]] = {
            name: [c for c in outcome.candidates if c.item_id not in bans] if bans else outcome.candidates
            for name, outcome in self._outcomes.items()
        }
        rescore = self._rescore if self._boosts and self._values is not None else None
        self._ranking = ranking = ranked(routes, self._mix, rescore)
        diversity, values = self._plan.wanted.diversity, self._values
        self._allowed = ranking.items
        if diversity is not None and values is not None:
            name = diversity.attribute
            self._limiter = Limiter(diversity, lambda item_id: values.one(item_id, name))
            self._limiter.hold(self._pins)
            pinned = set(self._pins)
            others = [item for item in ranking.items if item["item_id"] not in pinned]
            allowed = {item["item_id"] for item in self._limiter.allowed(others)} | pinned
            self._allowed = [item for item in ranking.items if item["item_id"] in allowed]
            self._left_out = len(ranking.items) - len(self._allowed)
        return ranking, self._allowed

    def _rescore(self, items: Sequence[Item]) -> None:
        values = self._values
        assert values is not None
        places = [values.names.index(name) for name in self._boosts]
        for item in items:
            held = values.of(item["item_id"])
            item["score"] = boosted(item["score"], self._worth([held[place] for place in places]))

    async def fill(self, ranking: Ranking, allowed: Sequence[Item], run_again: RunAgain) -> None:
        """Ask for items of other values until there are enough, or no more, or it was asked often enough."""
        if self._plan.wanted.diversity is None or self._values is None:
            return
        k, known = self._plan.k, {item["item_id"] for item in ranking.items}
        width = WIDER
        while (missing := k - self._count(allowed)) > 0:
            filters = self._limiter.others(self._request.filters)
            if filters is None:
                return  # nothing was left out, so there are no more
            if self._rounds == MAX_ROUNDS or self._request.deadline.passed:
                self.done.tell("diversity_short")
                return
            self._rounds += 1
            asked = min(math.ceil(missing * width), math.ceil(k * MOST_WIDER)) + len(self._plan.ruling.bans)
            width *= 2
            request = replace(self._request, filters=filters, k=asked, kept=False, notes={})
            again = await run_again(request)
            if any(each.short for name, each in again.items() if self._outcomes[name].status == "ok"):
                self.done.tell("diversity_short")
            fresh = self._take(again, known)
            if not fresh:
                return
            known |= fresh
            await self._read(list(fresh))
            if self._values is None:
                return
            allowed = self.rank()[1]

    def _count(self, allowed: Sequence[Item]) -> int:
        pinned = set(self._pins)
        return len(pinned) + sum(item["item_id"] not in pinned for item in allowed)

    def _take(self, again: Outcomes, known: set[str]) -> set[str]:
        """Add what the routes found that is new, behind what they had found; the ids."""
        fresh: set[str] = set()
        for name, outcome in again.items():
            before = self._outcomes[name]
            new = [c for c in outcome.candidates if c.item_id not in known]
            if outcome.status != "ok" or before.status != "ok":
                continue
            shifted = [c._replace(source=_behind(c.source, before.returned)) for c in new]
            fresh.update(c.item_id for c in new)
            self._outcomes[name] = replace(
                before,
                candidates=[*before.candidates, *shifted],
                returned=before.returned + len({c.item_id for c in new}),
                coverage=min(before.coverage, outcome.coverage),
                took_ms=before.took_ms + outcome.took_ms,
                reason=before.reason or outcome.reason,
            )
        return fresh

    async def finish(self) -> Applied:
        """The answer, with its fields."""
        done, k, mix = self.done, self._plan.k, self._mix
        pinned = set(self._pins)
        items = {item["item_id"]: item for item in self._ranking.items}
        rest = [item for item in self._allowed if item["item_id"] not in pinned]
        kept = {item["item_id"] for item in rest}
        order = {
            name: [item for item in found if item["item_id"] in kept]
            for name, found in self._ranking.order.items()
        }
        first: list[Item] = []
        for item_id in self._pins:
            item = items.get(item_id) or {"item_id": item_id, "score": 0.0, "sources": []}
            item["pinned"] = True
            first.append(item)
        answer = [*first, *cut(Ranking(rest, order), k - len(first), mix)]
        self._explain(answer)
        if self._plan.wanted.fields:
            await add_fields(
                answer, self._plan.wanted.fields, self._source, self._titles, self._request.deadline, done
            )
        done.items, done.outcomes = answer, self._outcomes
        return done

    def _explain(self, answer: Sequence[Item]) -> None:
        done, wanted, bans = self.done, self._plan.wanted, self._plan.ruling.bans
        if bans:
            found = {c.item_id for outcome in self._outcomes.values() for c in outcome.candidates}
            done.explain["bans"] = {"listed": len(bans), "left_out": sorted(bans & found)}
            if bans & found:
                done.used.append("bans")
        if wanted.boosts and self._values is not None:
            values = self._values
            places = [values.names.index(name) for name in self._boosts]
            done.explain["boosts"] = {
                item["item_id"]: round(self._worth([values.of(item["item_id"])[p] for p in places]), 6)
                for item in answer
            }
            done.used.append("boosts")
        if wanted.diversity is not None and self._values is not None:
            done.explain["diversity"] = {
                **wanted.diversity.model_dump(),
                "left_out": self._left_out,
                "rounds": self._rounds,
            }
            done.used.append("diversity")


def _behind(source: Source, places: int) -> Source:
    return {**source, "rank": source["rank"] + places}
