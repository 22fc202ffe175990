"""How the files of the indexes fare, told to readiness and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from index.watching import IndexEvent, IndexUpkeep
from service.health import Health
from service.telemetry.metrics import Metrics


class IndexWatch:
    """Follows the upkeep of the indexes that answer: a worker whose index is damaged is not ready."""

    def __init__(self, health: Health, metrics: Metrics) -> None:
        self._health = health
        self._count = metrics.index.event
        self._watched: Sequence[IndexUpkeep] = ()
        damages = "Damages of index files and logs, and folders that cannot be opened any more."
        metrics.gauge("index_damages", damages, self._all_damages, "livemax")
        verified = "When every byte of each index was last found right, in seconds since 1970."
        metrics.gauge("index_items", "Items of the smallest index that answers.", self._items, "livemin")
        pending = "Changes that wait for a rebuild, of the index with the most."
        metrics.gauge("index_pending_changes", pending, self._pending, "livemax")
        built = "When the oldest base that answers was written here, in seconds since 1970, or 0."
        metrics.gauge("index_built_timestamp_seconds", built, self._built_at, "livemin")
        metrics.gauge("index_verified_timestamp_seconds", verified, self._verified_at, "livemin")

    def follow(self, upkeeps: Iterable[IndexUpkeep | None]) -> None:
        """Watch these indexes from now on, instead of those before."""
        self._watched = tuple({id(each): each for each in upkeeps if each is not None}.values())
        for each in self._watched:
            each.listen(self._told)
        self._tell()

    def _told(self, event: IndexEvent) -> None:
        self._count(event)
        if event in ("damaged", "mended"):
            self._tell()

    def _tell(self) -> None:
        if damages := self._damages():
            # Where they are is for the log: the reasons are shown to whoever asks.
            self._health.fail("log", f"damaged files of the index: {damages}")
        else:
            self._health.mend("log")

    def _damages(self) -> int:
        return sum(len(each.problems) for each in self._watched)

    def _all_damages(self) -> int:
        """Also folders that are gone, say: what is open answers, so that the worker stays ready."""
        return self._damages() + sum(each.unopened is not None for each in self._watched)

    def _items(self) -> float:
        return min((each.facts.items for each in self._watched), default=0)

    def _pending(self) -> float:
        return max((each.facts.pending for each in self._watched), default=0)

    def _built_at(self) -> float:
        return min((each.facts.built_at for each in self._watched), default=0.0)

    def _verified_at(self) -> float:
        return min((each.verified_at for each in self._watched), default=0.0)
