"""Asks each deployment one query, twice a second, past every cache: readiness follows how it is answered.

A part that raises, gives other numbers than at the start, or hangs, keeps the worker from being ready until a
canary passes it again. Under load a canary may come too late to say anything: as long as others' queries get
on, that changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from artifacts.bundle.text import normalise
from common.arrays import F16, F32
from common.deadline import Clock, Deadline, within
from index.port import IndexUnavailable, Neighbours
from service.deployment import Deployment
from service.errors import Overloaded
from service.health import Health, Part
from service.query.portrait import no_portrait
from service.recall.run import TIMEOUTS

log = logging.getLogger("mrse.service")

_TEXT = normalise("red running shoes")
_K = 8
_PARTS: tuple[Part, ...] = ("encoder", "fusion", "index")
#: A part that takes longer (seconds), while nothing else gets on either, hangs. With half a second between
#: two canaries it is known within a second.
PATIENCE_S = 0.4
#: The first canary of a deployment warms it up.
FIRST_PATIENCE_S = 10.0
#: A canary that the event loop let wait by more than this (seconds) says nothing about a part.
_LATE_S = 0.25
#: Least seconds between two canaries, however many queries fail.
_LEAST_PAUSE_S = 0.1
#: Least cosines to the numbers of the start. The experts run in batches with others, in the bundle's least
#: precision; the fusion gets the same input each time.
_EXPERTS_COSINE, _EMBEDDING_COSINE = 0.95, 0.999
#: How far the best score may move while the index stays the same.
_SCORE_MOVE = 0.01

#: Of each part that could be judged: None for a sound one, or what is wrong with it.
Verdict = dict[Part, str | None]
Result = Literal["passed", "failed", "inconclusive"]


@dataclass(frozen=True, slots=True)
class _Reference:
    """What a deployment answered first."""

    experts: F16
    embedding: F32
    revision: object
    score: float | None


class Canary:
    """One deployment's query.

    Args:
        deployment: what is asked.
        got_on: grows as long as searches of others are answered.
        clock: seconds.
    """

    def __init__(
        self, deployment: Deployment, got_on: Callable[[], int], clock: Clock = time.monotonic
    ) -> None:
        self.deployment = deployment
        self._got_on = got_on
        self._clock = clock
        self._reference: _Reference | None = None

    async def look(self, patience_s: float = PATIENCE_S) -> Verdict:
        """Judge each part by itself: a broken one is not held against the others."""
        verdict: Verdict = {}
        reference = self._reference
        experts = await self._encode(verdict, patience_s)
        if reference is not None:
            experts = reference.experts
        if experts is None:
            return verdict
        embedding = self._fuse(verdict, experts)
        if reference is not None:
            embedding = reference.embedding
        if embedding is None:
            return verdict
        revision = self.deployment.index.revision
        found = await self._search(verdict, embedding, patience_s)
        if found is not None:
            same = revision is not None and revision == self.deployment.index.revision
            score = float(found.scores[0]) if found.ids else None
            before = reference if reference is not None and same and reference.revision == revision else None
            if before is not None and not _near(before.score, score):
                verdict["index"] = "the index gives other scores than before"
            elif before is None:
                self._reference = _Reference(experts, embedding, revision if same else None, score)
        return verdict

    async def _encode(self, verdict: Verdict, patience_s: float) -> F16 | None:
        encoder, began = self.deployment.encoder, self._clock()
        done = encoder.texts.succeeded
        try:
            experts = await within(patience_s, encoder.experts(_TEXT, None))
        except (TimeoutError, Overloaded) as error:
            if isinstance(error, Overloaded):
                await asyncio.sleep(patience_s)
            if encoder.texts.succeeded == done and not self._late(began, patience_s):
                verdict["encoder"] = "the query encoder hangs"
            return None
        except Exception:  # the batcher has logged it
            verdict["encoder"] = "the query encoder fails"
            return None
        reference = self._reference
        if experts.shape != self.deployment.shape or (
            reference is not None and _cosine(experts, reference.experts) < _EXPERTS_COSINE
        ):
            verdict["encoder"] = "the query encoder gives other numbers than at the start"
            return None
        verdict["encoder"] = None
        return experts

    def _fuse(self, verdict: Verdict, experts: F16) -> F32 | None:
        nobody = no_portrait(self.deployment.shape, unavailable=False).batch
        try:
            embedding = self.deployment.encoder.fuse(experts, nobody).embedding
        except Exception:
            verdict["fusion"] = "the fusion fails"
            return None
        reference = self._reference
        if reference is not None and _cosine(embedding, reference.embedding) < _EMBEDDING_COSINE:
            verdict["fusion"] = "the fusion gives other numbers than at the start"
            return None
        verdict["fusion"] = None
        return embedding

    async def _search(self, verdict: Verdict, embedding: F32, patience_s: float) -> Neighbours | None:
        began, done = self._clock(), self._got_on()
        deadline = Deadline.after(patience_s, self._clock)
        try:
            work = self.deployment.index.search(embedding[None], _K, None, deadline)
            (found,) = await within(patience_s, work)
        except TimeoutError:
            reason = "timeout"
        except IndexUnavailable as error:
            reason = error.reason
        except Exception as error:
            reason = type(error).__name__
        else:
            scores = np.asarray(found.scores)
            if not (np.abs(scores) <= 1.01).all() or (np.diff(scores) > 1e-6).any():
                verdict["index"] = "the index gives scores that are no cosines"
                return None
            verdict["index"] = None
            return found
        if reason == "overloaded":  # where nothing moves, the canaries that got to wait have seen it
            return None
        if reason in TIMEOUTS and (self._got_on() != done or self._late(began, patience_s)):
            return None
        verdict["index"] = f"the index gives no answer: {reason}"
        return None

    def _late(self, began: float, patience_s: float) -> bool:
        return self._clock() - began > patience_s + _LATE_S


class Watch:
    """Sends the canaries and tells the worker's health what came back.

    Args:
        health: is told of parts that fail and that are whole again.
        count: told the result of each canary.
        every_s: seconds between two; 0 sends none.
        got_on: see `Canary`.
        clock: seconds.
    """

    def __init__(
        self,
        health: Health,
        count: Callable[[str], None],
        every_s: float,
        got_on: Callable[[], int],
        clock: Clock = time.monotonic,
    ) -> None:
        self._health = health
        self._count = count
        self._every = every_s
        self._got_on = got_on
        self._clock = clock
        self._canaries: list[tuple[Canary, bool]] = []
        self._idle: dict[Part, str] = {}
        self._doubt = asyncio.Event()
        self._patience_s = PATIENCE_S

    def send_to(self, deployments: Iterable[tuple[Deployment, bool]]) -> None:
        """Watch these deployments from now on; one without traffic (False) keeps nobody from being ready."""
        known = {id(canary.deployment): canary for canary, _ in self._canaries}
        self._canaries = [
            (known.get(id(each)) or Canary(each, self._got_on, self._clock), counts)
            for each, counts in deployments
        ]

    def doubt(self) -> None:
        """A query failed: look soon."""
        self._doubt.set()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while self._every:
            try:
                async with asyncio.timeout(max(_LEAST_PAUSE_S, self._every)):
                    await self._doubt.wait()
                await asyncio.sleep(_LEAST_PAUSE_S)
            except TimeoutError:
                pass
            self._doubt.clear()
            try:
                await self.look()
            except Exception:  # else health would stay as it is for good
                log.exception("a canary could not be sent")

    async def look(self, patience_s: float | None = None) -> None:
        """Send a canary to each deployment and tell what came back."""
        if not self._every:
            return
        patience_s = patience_s or self._patience_s
        watched = list(self._canaries)
        verdicts = await asyncio.gather(*(canary.look(patience_s) for canary, _ in watched))
        if watched != self._canaries:  # changed meanwhile; what is retired says nothing
            return
        serving = [verdict for verdict, (_, counts) in zip(verdicts, watched, strict=True) if counts]
        idle = [verdict for verdict, (_, counts) in zip(verdicts, watched, strict=True) if not counts]
        for part in _PARTS:
            faults = [fault for verdict in serving if (fault := verdict.get(part))]
            if faults:
                self._health.fail(part, faults[0])
            elif all(part in verdict for verdict in serving):
                self._health.mend(part)
            self._note_idle(part, next((fault for each in idle if (fault := each.get(part))), None))
        for verdict in verdicts:
            self._count(_result(verdict))

    def _note_idle(self, part: Part, fault: str | None) -> None:
        """One line where an arm without traffic begins to fail or is whole again."""
        if fault != self._idle.get(part):
            if fault is None:
                self._idle.pop(part)
                log.info("an arm without traffic is whole again", extra={"part": part})
            else:
                self._idle[part] = fault
                log.warning("an arm without traffic fails", extra={"part": part, "reason": fault})


def _result(verdict: Verdict) -> Result:
    if any(verdict.values()):
        return "failed"
    return "passed" if len(verdict) == len(_PARTS) else "inconclusive"


def _near(before: float | None, now: float | None) -> bool:
    if before is None or now is None:
        return before is now
    return abs(before - now) <= _SCORE_MOVE


def _cosine(one: F16 | F32, other: F16 | F32) -> float:
    a, b = one.astype(np.float32).ravel(), other.astype(np.float32).ravel()
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths > 0 else float(lengths == 0 and bool((a == b).all()))
