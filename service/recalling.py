"""A worker's recalls: by the rules of the moment, counted, and some of them offered to be checked."""

from __future__ import annotations

from collections.abc import Callable

from common.calling import SPAN
from common.deadline import Deadline
from common.turns import Turns
from service.admission import Gate, LoadShedding
from service.deployment import Deployment
from service.errors import Overloaded, Unavailable
from service.pipeline import RecallResult, recall
from service.query.query import Query
from service.recall.controls.rulebook import NO_RULE, RuleBook, Ruling
from service.recall.routes.q2i import Q2I
from service.recall.settings import Recall
from service.recall_checks import RecallChecks
from service.settings import Settings
from service.stages import Stages, stages_of
from service.telemetry.metrics import Metrics

#: Share of a request's time that it waits for rules that are being read: *inferred*.
_RULES_SHARE = 0.1


class Recaller:
    """Recalls and counts.

    Args:
        settings: the deadline's reserve is taken of them; it keeps its value until a restart.
        metrics: where it counts.
        rules: of pins and bans.
        gate: says whether requests wait, and has the clock of all deadlines.
        doubt: told that the index failed.
        traced: whether requests are traced: some of them have a span.

    Attributes:
        answered: recalls that the index answered; grows as long as it gets on.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        rules: RuleBook,
        gate: Gate,
        doubt: Callable[[], None],
        traced: bool,
    ) -> None:
        self.answered = 0
        self._metrics = metrics
        self._rules = rules
        self._gate = gate
        self._checks = RecallChecks(
            settings.server.recall_check_every_s,
            self._is_idle,
            metrics.index.recall,
            metrics.index.recall_check,
            gate.clock,
        )
        self._doubt = doubt
        self._traced = traced
        self._reserve_s = settings.deadline.reserve_ms / 1000

    async def recall(
        self,
        deployment: Deployment,
        query: Query,
        options: Recall,
        shedding: LoadShedding,
        deadline: Deadline,
        turns: Turns | None = None,
    ) -> RecallResult:
        """Recall and count; raises as `service.pipeline.recall` does."""
        stages = stages_of(SPAN.get()) if self._traced else Stages()
        ruling = NO_RULE if self._rules.path is None else await self.ruling(query.text, options, deadline)
        try:
            result = await recall(
                deployment, query, options, shedding, deadline, self._reserve_s, turns, ruling, stages
            )
        except BaseException as error:
            stages.failed(error)
            if isinstance(error, Overloaded):
                self._metrics.refused("encoder_queue")
            elif isinstance(error, Unavailable):
                self._doubt()
            raise
        if any(outcome.status == "ok" for outcome in result.routes.values()):
            self.answered += 1
        if self._checks.due:
            self._offer(result)
        self._metrics.stages(result.stages)
        self._metrics.degraded(result.degraded)
        if query.controls.weights:
            self._metrics.controls(("weights",))
        if result.controls is not None:
            self._metrics.controls(result.controls.used)
        for name, outcome in result.routes.items():
            if outcome.status == "ok":
                self._metrics.index.coverage(name, outcome.coverage)
        return result

    async def ruling(self, text: str, options: Recall, deadline: Deadline) -> Ruling:
        """What the rules say now of a query in its normal form; of an empty one, what holds everywhere.

        A request waits for a file that is being read for no more than a share of its time.
        """
        if self._rules.path is None or not options.rules:
            return NO_RULE
        await self._rules.current(_RULES_SHARE * deadline.remaining())
        return self._rules.ruling(text)

    async def close(self) -> None:
        """Give up the search that is being asked again."""
        await self._checks.close()

    def _is_idle(self) -> bool:
        """Whether at most one request is being answered."""
        return self._gate.running <= 1 and not self._gate.waiting

    def _offer(self, result: RecallResult) -> None:
        """Have the search of Q2I asked again exactly."""
        outcome, exact = result.routes.get(Q2I.name), result.deployment.exact
        if exact is None or outcome is None or outcome.status != "ok" or outcome.coverage < 1.0:
            return
        scores = [candidate.source["score"] for candidate in outcome.candidates]
        k = len(scores) if "fewer_candidates" in result.degraded else max(len(scores), result.query.k)
        if k:
            index, query = result.deployment.index, result.query
            self._checks.offer(index, exact, result.fused.embedding, k, query.filters, scores)
