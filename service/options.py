"""The options of ``[recall]`` as the arms of a request change them together.

The arms of many experiments have too many combinations to make them all. A combination is made when it is
first drawn, and the last ones are kept. What two arms of the core can clash in, the routes' shares of an
answer, is still found at start: the largest sum that any combination reaches is found without going through
them.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from common.lru import Lru
from service.errors import StartError
from service.recall.settings import Recall
from service.settings import Arm, Experiments

log = logging.getLogger("mrse.service")

#: Combinations that are kept made, of some kilobytes each; making one takes about 0.1 ms, and 0.5 ms where a
#: hundred arms change something.
_KEPT = 512


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A choice of arms, with the shares of an answer that it gives to routes."""

    arms: tuple[str, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        return sum(self.shares.values())


class Options:
    """What arms change in the options.

    Args:
        recall: the options that arms change.
        experiments: the arms; of two that change the same key the later one holds.
        partial: experiments in which not everybody takes part.

    Raises:
        StartError: arms of some experiments do not go together.
    """

    def __init__(self, recall: Recall, experiments: Experiments, partial: Collection[str] = ()) -> None:
        self._recall = recall
        #: The arms that change something, by experiment; experiments without one are left out.
        self._changing = {
            name: changing
            for name, arms in experiments.items()
            if (changing := {arm: its for arm, its in arms.items() if its.recall})
        }
        self._kept: Lru[tuple[tuple[str, str], ...], tuple[Recall, tuple[str, ...]]] = Lru(_KEPT)
        self._refuse_shares(experiments, partial)

    def of(self, arms: Mapping[str, str]) -> tuple[Recall, tuple[str, ...]]:
        """The options of arms, at most one of each experiment, and those whose changes are left out.

        They are told as ``a=x``. None is left out in the core. The table of an extension's route may refuse
        what two arms make of it together, each of which it takes alone.
        """
        if not self._changing:
            return self._recall, ()
        key = tuple([(name, arms[name]) for name, its in self._changing.items() if arms.get(name) in its])
        found = self._kept.get(key)
        if found is None:
            found = self._combined(key)
            self._kept.put(key, found)
        return found

    def _combined(self, key: tuple[tuple[str, str], ...]) -> tuple[Recall, tuple[str, ...]]:
        changes = {f"{name}={arm}": self._changing[name][arm].recall for name, arm in key}
        try:
            return self._recall.changed(*changes.values()), ()
        except ValidationError as error:
            log.error("arms do not go together: %s: %s", ", ".join(changes), error)
        recall, left_out = self._recall, []
        for name, change in changes.items():
            try:
                recall = recall.changed(change)
            except ValidationError:
                left_out.append(name)
        return recall, tuple(left_out)

    def _refuse_shares(self, experiments: Experiments, partial: Collection[str]) -> None:
        """Fail where some combination gives the routes more than the whole answer.

        From the last experiment to the first, because a later arm's share holds: for each set of routes that
        have their share already, only the choice with the largest sum can become the largest of all. So the
        cost is linear in the arms, with a factor of two for each route whose share arms change.
        """
        best: dict[frozenset[str], _Chosen] = {frozenset(): _Chosen()}
        for name, arms in reversed(experiments.items()):
            shares = {arm: self._shares(its) for arm, its in arms.items()}
            if not any(shares.values()):
                continue
            before, best = best, dict(best) if name in partial else {}
            for chosen in before.values():
                for arm, its in shares.items():
                    new = _Chosen((f"{name}={arm}", *chosen.arms), {**its, **chosen.shares})
                    known = best.get(key := frozenset(new.shares))
                    if known is None or new.total > known.total:
                        best[key] = new
        given = {route: table.share for route, table in self._recall.tables.items()}
        worst = max(best.values(), key=lambda chosen: sum({**given, **chosen.shares}.values()))
        try:
            self._recall.changed({route: {"share": share} for route, share in worst.shares.items()})
        except ValidationError as error:
            raise StartError(f"experiments {', '.join(worst.arms)} do not go together: {error}") from error

    def _shares(self, arm: Arm) -> dict[str, float]:
        """The shares that an arm sets, by route."""
        named = [route for route in self._recall.routes if "share" in (arm.recall.get(route) or {})]
        if not named:
            return {}
        tables = self._recall.changed(arm.recall).tables
        return {route: tables[route].share for route in named}
