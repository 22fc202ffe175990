"""What the answers of each arm of each experiment were like, so that an experiment can be read.

A pair of experiment and arm is a label. Settings name them, and settings can be changed while the service
runs, so that there is a bound on how many pairs are told apart: later ones are ``other``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from prometheus_client import Counter

from service.scope import Told
from service.telemetry.labels import SERVER_CAUSES
from service.telemetry.observing import Timings

#: Pairs of experiment and arm that are told apart.
MOST_PAIRS = 128
_LABELS = ["experiment", "arm"]
#: What the time of a request ended with that was answered with items, with none, or with less than it should.
ANSWERED = "answered"


class _Arm(NamedTuple):
    """Children of one pair, made once."""

    partial: Counter
    empty: Counter
    seconds: Timings
    outcomes: dict[str, Counter]
    degraded: dict[str, Counter]
    labels: tuple[str, str]


class ArmMetrics:
    """Counts requests by the arms that they got.

    Args:
        counter: makes a counter of a name, a help text and labels.
        histogram: makes a histogram of the time of requests.
        observe: notes an observation.
        outcomes: the causes of errors that are told apart, beside ``answered``.
        words: the words of ``degraded``.
    """

    def __init__(
        self,
        counter: Callable[..., Counter],
        histogram: Callable[..., Timings],
        observe: Callable[[Timings, float], None],
        outcomes: frozenset[str],
        words: frozenset[str],
    ) -> None:
        self._requests = counter(
            "arm_requests",
            "Requests that got an arm, entries of batches each for itself, by experiment, arm, and how they "
            "ended: answered, or the cause of the error.",
            [*_LABELS, "outcome"],
        )
        self._degraded = counter(
            "arm_degraded", "Answers of an arm that fell short, by reason.", [*_LABELS, "reason"]
        )
        self._partial = counter(
            "arm_partial", "Answers of an arm in which a route gave less than it should have.", _LABELS
        )
        self._empty = counter("arm_empty", "Answers of an arm without an item.", _LABELS)
        self._seconds = histogram(
            "arm_request_duration_seconds",
            "Time of answered requests of an arm, from the first byte in to the last byte out; entries of "
            "batches are left out.",
            _LABELS,
        )
        self._observe = observe
        self._outcomes = outcomes | {ANSWERED}
        self._words = words
        self._pairs: dict[tuple[str, str], _Arm] = {}

    def ended(self, told: Told, cause: str | None, seconds: float | None) -> None:
        """Count a request, or an entry of a batch.

        Args:
            told: what it noted of itself.
            cause: of the error that answered it; None where items did.
            seconds: what it took; None for an entry of a batch.
        """
        outcome = cause or ANSWERED
        for pair in told.arms.items():
            arm = self._pairs.get(pair) or self._pair(pair)
            (arm.outcomes.get(outcome) or self._outcome(arm, outcome)).inc()
            if cause is not None:
                continue
            if seconds is not None:
                self._observe(arm.seconds, seconds)
            if told.partial:
                arm.partial.inc()
            if not told.items:
                arm.empty.inc()
            for reason in told.degraded:
                (arm.degraded.get(reason) or self._reason(arm, reason)).inc()

    def expect(self, arms: Mapping[str, Mapping[str, object]]) -> None:
        """Make what will be counted, so that it is 0 and not absent until then: a rate sees the first one."""
        for experiment, its in arms.items():
            for name in its:
                arm = self._pair((experiment, name))
                for outcome in (ANSWERED, *SERVER_CAUSES):
                    if outcome not in arm.outcomes:
                        self._outcome(arm, outcome)

    def _pair(self, pair: tuple[str, str]) -> _Arm:
        found = self._pairs.get(pair)
        if found is None:
            labels = pair
            if len(self._pairs) >= MOST_PAIRS and pair != ("other", "other"):
                return self._pair(("other", "other"))
            found = self._pairs[pair] = _Arm(
                self._partial.labels(*labels),
                self._empty.labels(*labels),
                self._seconds.labels(*labels),
                {},
                {},
                labels,
            )
        return found

    def _outcome(self, arm: _Arm, outcome: str) -> Counter:
        name = outcome if outcome in self._outcomes else "other"
        child = arm.outcomes[name] = self._requests.labels(*arm.labels, name)
        return child

    def _reason(self, arm: _Arm, reason: str) -> Counter:
        name = reason if reason in self._words else "other"
        child = arm.degraded[name] = self._degraded.labels(*arm.labels, name)
        return child
