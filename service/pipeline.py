"""One request: cache, encode, fuse with the portrait, run the routes, merge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from common.deadline import Deadline, within
from common.turns import Turns
from service.admission import LoadShedding
from service.deployment import Deployment
from service.encoding import begin_reading, encoded, photographed
from service.errors import DeadlinePassed, Unavailable
from service.query.cache.tiers import Tier
from service.query.encoder import Fused
from service.query.portrait import RequestPortrait
from service.query.query import Query
from service.recall.controls.apply import apply
from service.recall.controls.plan import Applied, plan
from service.recall.controls.rulebook import NO_RULE, Ruling
from service.recall.merge import Mix, merge
from service.recall.routes.outcome import Item, RouteOutcome
from service.recall.routes.route import RouteRequest, RouteSettings
from service.recall.run import run_routes
from service.recall.settings import Recall
from service.stages import Stages

_NO_SHARES: Mapping[str, float] = {}


@dataclass(slots=True)
class RecallResult:
    """Everything that an answer tells, and how it came about.

    Attributes:
        deployment: what answered.
        query: what was asked for.
        options: how items were recalled and merged.
        tier: where the query's experts were.
        fused: the query's embedding and the gate over the modalities.
        portrait: the user's history, as it was used.
        notes: what each route left in `RouteRequest.notes`.
        routes: what became of each route.
        items: best first.
        controls: what became of the controls; None where none was asked for.
        degraded: what was left out and why, words of `service.degraded`.
        stages: seconds of each stage.
    """

    deployment: Deployment
    query: Query
    options: Recall
    tier: Tier
    fused: Fused
    portrait: RequestPortrait
    notes: Mapping[str, object]
    routes: Mapping[str, RouteOutcome]
    items: Sequence[Item]
    controls: Applied | None
    degraded: Sequence[str]
    stages: Sequence[tuple[str, float]]


async def recall(
    deployment: Deployment,
    query: Query,
    options: Recall,
    shedding: LoadShedding,
    deadline: Deadline,
    reserve_s: float,
    turns: Turns | None = None,
    ruling: Ruling = NO_RULE,
    stages: Stages | None = None,
) -> RecallResult:
    """Items for a query, a picture, a history, or any of them together.

    Args:
        deployment: what answers.
        query: the checked request.
        options: how to recall and merge.
        shedding: what to do without.
        deadline: covers everything.
        reserve_s: kept back from the routes for what follows them.
        turns: shared by requests that are answered together.
        ruling: what the rules say of the query.
        stages: measures; new ones where there are none.

    Raises:
        DeadlinePassed: before any route answered.
        ModelFailed: a graph failed.
        Unavailable: no route has an answer.
        Overloaded: the encoder's queue is full.
        FieldError: the picture is damaged.
    """
    if stages is None:
        stages = Stages()
    now = datetime.now(UTC)
    tables: Mapping[str, RouteSettings] = options.tables
    weights = options.weights
    if query.controls.weights:
        tables = _weighted(tables, query.controls.weights)
        weights = {name: table.weight for name, table in tables.items()}
    degraded = _shed(deployment, query, shedding)
    history = [] if "no_portrait" in degraded else deployment.recent(query.history)
    # Begun in the same turn as the read of the experts, so that one MGET fetches both.
    reading = begin_reading(deployment, query, degraded, deadline)
    try:
        photo_for = photographed(deployment, query, tables, shedding)
        work = encoded(deployment, query, history, reading, now, deadline, stages, photo_for)
        experts, tier, portrait, photo, skipped = await within(deadline.remaining(), work)
    except TimeoutError as error:
        raise DeadlinePassed("encoding") from error
    finally:
        if reading is not None:
            reading.cancel()  # does nothing to one that is done
    if turns is not None:
        await turns.take()
    fused = deployment.fusions.fuse(experts, portrait)
    stages.mark("fusion")
    k = max(1, int(query.k * shedding.k_share))
    planned = plan(k, query.controls, options, ruling if options.rules else NO_RULE)
    calibration = deployment.calibration.of(words=bool(query.text))
    request = RouteRequest(
        text=query.text,
        user_id=query.user_id,
        embedding=fused.embedding,
        k=k if planned is None else planned.candidates,
        filters=query.filters,
        history=portrait.history,
        now=now,
        deadline=deadline.earlier(reserve_s),
        tables=tables,
        index=deployment.index,
        heads=deployment.heads,
        neighbours=deployment.neighbours,
        lexical=deployment.lexical,
        photos=deployment.photos,
        interests=fused.interests,
        pull=fused.pull,
        photo=photo,
        pictured=query.picture is not None,
        ranked=deployment.ranked,
        far=deployment.far,
        # No words and no history that we know: the embedding would point nowhere.
        empty=query.browse and not portrait.used,
        browse=query.browse,
        common=not portrait.used,
        judged=calibration.curves if options.merge == "calibrated" else (),
        traced=stages.traced,
    )
    outcomes: Mapping[str, RouteOutcome] = await run_routes(request, shedding.load)
    degraded[:0] = [f"no_{name}" for name, outcome in outcomes.items() if outcome.status == "shed"]
    searched = _raise_if_unanswered(outcomes)
    stages.add(outcomes)
    mix = Mix(
        method=options.merge,
        rrf_k=options.rrf_k,
        # Quotas are for what is close to a query, and a browse has none.
        shares=_NO_SHARES if query.browse else options.shares,
        weights=weights,
        calibration=calibration,
        teams=options.teams,
        seed=query.request_id,
    )
    applied: Applied | None = None
    items: Sequence[Item]
    if planned is None or not searched:
        items = merge({name: outcome.candidates for name, outcome in outcomes.items()}, k, mix)
        stages.mark("merge")
    else:
        applied = await apply(
            planned,
            request,
            outcomes,
            mix,
            deployment.values,
            deployment.titles,
            lambda again: run_routes(again, shedding.load),
        )
        items, outcomes = applied.items, applied.outcomes
        stages.mark("controls")
        degraded += applied.degraded
    degraded += skipped
    degraded += [portrait.degraded] if portrait.degraded else []
    if not searched:
        degraded.append("nothing_to_search_by")
    elif request.empty:
        degraded.append("popular_instead")
    for name, outcome in outcomes.items():
        if outcome.short:
            degraded.append(f"{name}_{'coverage' if outcome.status == 'ok' else outcome.status}")
    return RecallResult(
        deployment,
        query,
        options,
        tier,
        fused,
        portrait,
        request.notes,
        outcomes,
        items,
        applied,
        degraded,
        stages.seconds,
    )


def _shed(deployment: Deployment, query: Query, shedding: LoadShedding) -> list[str]:
    """What this request does without, beside routes."""
    shed = []
    if int(query.k * shedding.k_share) < query.k:
        shed.append("fewer_candidates")
    personal = query.history or (deployment.portraits is not None and query.user_id is not None)
    if shedding.no_portrait and personal and not query.browse:  # a browse has nothing but its history
        shed.append("no_portrait")
    return shed


def _weighted(
    tables: Mapping[str, RouteSettings], weights: Mapping[str, float]
) -> Mapping[str, RouteSettings]:
    """The routes' tables with the weights of a request."""
    return {
        name: table.model_copy(update={"weight": weights[name]}) if name in weights else table
        for name, table in tables.items()
    }


def _raise_if_unanswered(outcomes: Mapping[str, RouteOutcome]) -> bool:
    """Whether any route searched; False where none had anything to search by."""
    statuses = {outcome.status for outcome in outcomes.values()}
    if "ok" in statuses:
        return True
    if "timeout" in statuses:
        raise DeadlinePassed("search")
    if "error" in statuses:
        reasons = sorted({o.reason or "error" for o in outcomes.values() if o.status == "error"})
        raise Unavailable(f"the index gave no answer: {', '.join(reasons)}")
    return False
