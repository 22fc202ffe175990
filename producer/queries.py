"""Head queries: the ones asked most, encoded ahead of the next time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property, partial

from artifacts.bundle.loader import Bundle
from artifacts.bundle.manifest import Precision
from artifacts.bundle.text import NormalText, TextBatch, normalise
from artifacts.bundle.towers import QueryTower
from artifacts.cache.codec import FeatureCodec
from artifacts.cache.keys import query_key
from common.arrays import F16
from producer.job import Entries, Job, digest_of, feature_entries

#: Longer ones never reach the encoder: the API refuses them.
MAX_QUERY_CHARACTERS = 512
#: Queries among which those of like length are put together. Small beside a head of 100,000, so that the
#: head of the head is still there first.
_WINDOW = 8192


def head_queries(queries: Iterable[str], top: int | None = None) -> list[NormalText]:
    """The distinct queries in their normal form, most frequent first; equal counts by first appearance.

    Empty ones do not count; ``top`` are kept, or all.
    """
    raw = Counter(queries)  # normalising is the dear part, and a log repeats itself
    counts: Counter[NormalText] = Counter()
    for query, count in raw.items():
        if len(query) <= MAX_QUERY_CHARACTERS:
            counts[normalise(query)] += count
    del counts[NormalText("")]
    return [query for query, _ in counts.most_common(top)]


class QueryJob(Job):
    """`Job` that writes the experts of queries, by the same graph as the service, rounded as it rounds.

    The queries are distinct, the most wanted first. A job has time, so fp32 is the usual choice on a CPU.
    ``threads`` graph runs go side by side, each on one core: several small runs scale better than one run
    over several cores.

    Raises:
        BundleError: no such precision, or its canonical outputs are off.
        GraphError: the graph does not open on the device.
    """

    name = "queries"

    def __init__(
        self,
        bundle: Bundle,
        queries: Sequence[NormalText],
        *,
        precision: Precision = "fp32",
        device: str = "cpu",
        threads: int = 1,
    ) -> None:
        self.bundle_version = bundle.version
        self.precision = precision
        self.workers = threads
        self._queries = by_length(queries)
        self._codec = FeatureCodec(*bundle.manifest.dimensions.shape)
        self._tower = QueryTower(bundle, precision=precision, device=device, check=True)

    def __len__(self) -> int:
        """Queries in all."""
        return len(self._queries)

    @cached_property
    def source(self) -> str:
        """See `Job.source`."""
        return digest_of((self.precision, *self._queries))

    def prepare(self, start: int, end: int) -> TextBatch:
        """See `Job.prepare`; ids of the queries."""
        return self._tower.bundle.text.normal_queries(self._queries[start:end])

    def run(self, prepared: TextBatch) -> F16:
        """See `Job.run`; experts ``[B, E, d]`` of queries without pictures, rounded as the service rounds."""
        return self._tower.rounded_experts(prepared)

    def entries(self, start: int, end: int, ran: F16) -> Entries:
        """See `Job.entries`; a query whose experts are not finite has no value."""
        queries = self._queries[start:end]
        return feature_entries(queries, ran, partial(query_key, self.bundle_version), self._codec)


def by_length(queries: Sequence[NormalText]) -> list[NormalText]:
    """The same queries with those of like length side by side, since padding costs as much as text."""
    starts = range(0, len(queries), _WINDOW)
    return [query for start in starts for query in sorted(queries[start : start + _WINDOW], key=len)]
