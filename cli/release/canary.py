"""The steps that touch traffic: a canary beside what serves, its watch, promotion, and taking it back."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from cli.release.commands import StepFailed, mrse, shown
from cli.release.exposition import Counts, Tally, Told, counts_of, less
from cli.release.guardrails import P95, Guardrail, judge
from cli.release.plan import Exposed
from cli.release.release import Outcome, Release, Work, loaded_of
from cli.release.services import ServicesError
from cli.release.state import now
from cli.release.towers import CANARY, CONTROL, TOWERS, Side, write_towers
from common.errors import NOT_IN_ORDER, MrseError

#: Seconds between two lines about the watch.
_TELL_EVERY_S = 60.0


def _no_canary(release: Release) -> str | None:
    if release.before is None:
        return "nothing serves yet"
    if not release.fleet:
        return "no service is named (services.urls)"
    if release.in_place:
        return "the version that serves was fed where it is"
    return None


def _canary(release: Release) -> Outcome:
    before, plan = release.before, release.plan
    assert before is not None
    assert release.version is not None
    for address, told in release.fleet.told().items():
        serving = told.loaded.get(CONTROL)
        if serving is None or serving[0] != before.version:
            has = "nothing" if serving is None else serving[0]
            raise StepFailed(
                f"{address} serves {has} where {plan.config} names {before.version}: let the configuration "
                "alone say what serves, not --bundle or MRSE_BUNDLE_PATH, and reload"
            )
    control = Side(before.bundle, before.index)
    share, salt = plan.canary.share, release.current.release
    wanted = {CONTROL: (before.version, None), CANARY: (release.version, release.index_version)}
    try:
        release.fleet.take(
            wanted,
            _patient(release, "canary"),
            change=lambda again: write_towers(
                plan.config, control, release.candidate, share, salt, again=again
            ),
        )
    except ServicesError as error:
        try:
            release.fleet.take(
                {CONTROL: (before.version, None)},
                change=lambda again: write_towers(plan.config, control, again=again),
            )
        except ServicesError as again:
            raise StepFailed(f"{error}; and what served was not taken back: {again}") from error
        raise StepFailed(f"{error}; what served before serves") from error
    over = "" if release.index_version is None else f" over {release.index_version}"
    return Outcome(f"{release.version}{over} answers {plan.canary.share:.0%}", {"out": now()})


def _patient(release: Release, stage: str) -> Any:
    """Tells what is waited for, each thing once."""
    said: set[str] = set()

    def tell(what: str) -> None:
        if what not in said:
            said.add(what)
            release.tell(f"{stage}: waiting: {what}")

    return tell


def _no_watch(release: Release) -> str | None:
    return None if _is_out(release) else "there is no canary"


def _is_out(release: Release) -> bool:
    canary = release.step("canary")
    return canary is None or canary.state != "skipped"


class _Watch:
    """The canary's counters, kept in the state so that a killed watch goes on."""

    def __init__(self, release: Release) -> None:
        self._release = release
        self._limits = release.plan.canary
        self._kept = release.current.steps["watch"].found
        tally = self._kept.get("tally", {})
        self._tally = Tally(tally.get("seen", {}), tally.get("total", {}))
        self._told_at = 0.0

    def run(self) -> str | None:
        """Watch until the end; why the canary is to be taken back, or None."""
        while True:
            told, away = self._release.fleet.look()
            at = now()
            if "since" not in self._kept:
                self._tally.begin(told)
                self._kept["since"] = at
            else:
                self._tally.add(told)
            passed = at - self._kept["since"]
            if self._kept.get("settled") is None and passed >= self._limits.settle_s:
                self._kept["settled"] = dict(self._tally.total)
            self._kept["tally"] = self._tally.as_dict()
            control, canary = self._counts(self._tally.total)
            found = judge(control, canary, self._settled(), self._limits)
            self._kept["guardrails"] = [asdict(each) for each in found]
            self._kept["requests"] = {CONTROL: control.requests, CANARY: canary.requests}
            self._release.file.save()
            self._tell(at, passed, canary, found)
            if why := self._silent(told, away, at) or _because(found, "tripped"):
                return why
            enough = canary.requests >= self._limits.requests
            timed = any(each.name == P95 and each.state != "unknown" for each in found)
            if passed >= self._limits.watch_s and enough and timed:
                return _because(found, "tripped", "over")
            if passed >= max(self._limits.watch_s, self._limits.longest_s):
                if enough:
                    return f"nothing is known of the canary's latency after {passed:,.0f} s"
                return (
                    f"the canary got {canary.requests:,.0f} requests in {passed:,.0f} s, fewer than "
                    f"{self._limits.requests:,} (canary.requests): does the file of assignment.path "
                    f"turn {TOWERS} off?"
                )
            time.sleep(self._limits.every_s)

    def _counts(self, total: dict[str, float]) -> tuple[Counts, Counts]:
        return counts_of(total, CONTROL), counts_of(total, CANARY)

    def _settled(self) -> tuple[Counts, Counts] | None:
        before = self._kept.get("settled")
        return None if before is None else self._counts(less(self._tally.total, before))

    def _silent(self, told: dict[str, Told], away: dict[str, str], at: float) -> str | None:
        """Why a service that has been ready has not been well for too long."""
        # Those of the plan were all ready when the canary came; others, behind a name, may still be starting.
        known = set(self._kept.get("ready", self._release.plan.services.urls))
        known |= {address for address, its in told.items() if its.ready}
        self._kept["ready"] = sorted(known)
        ill = {address: f"does not answer: {why}" for address, why in away.items()}
        ill |= {address: "is not ready" for address, its in told.items() if not its.ready}
        before = self._kept.get("ill")
        since = before if isinstance(before, dict) else {}  # one for all, in states of before
        self._kept["ill"] = {address: since.get(address, at) for address in ill if address in known}
        for address, began in self._kept["ill"].items():
            if at - began >= self._limits.silent_s:
                return f"{address} {ill[address]}, for {at - began:.0f} s"
        return None

    def _tell(self, at: float, passed: float, canary: Counts, found: list[Guardrail]) -> None:
        if at - self._told_at < _TELL_EVERY_S:
            return
        self._told_at = at
        left = max(0.0, self._limits.watch_s - passed)
        known = [str(each) for each in found if each.state != "unknown"]
        self._release.tell("; ".join((f"watch: {canary.requests:,.0f} requests, {left:,.0f} s left", *known)))


def _because(found: list[Guardrail], *states: str) -> str | None:
    tripped = [str(each) for each in found if each.state in states]
    return "; ".join(tripped) or None


def _watch(release: Release) -> Outcome:
    kept = release.current.steps["watch"].found
    try:
        why = _Watch(release).run()
        if why is None and release.plan.exposed is not None:
            why = _report(release, release.plan.exposed, kept["since"])
    except KeyboardInterrupt as stopped:
        raise StepFailed(
            f"stopped while the canary answers {release.plan.canary.share:.0%}: the same command goes on "
            "watching, --abort takes it back"
        ) from stopped
    if why is not None:
        return Outcome(why, kept, "refused")
    known = [str(Guardrail(**each)) for each in kept["guardrails"] if each["state"] != "unknown"]
    return Outcome(f"{kept['requests'][CANARY]:,.0f} requests; {'; '.join(known)}", kept)


def _report(release: Release, exposed: Exposed, since: float) -> str | None:
    """What the exposure log and the outcomes say against the canary."""
    at = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    command = ("experiment", "report", str(exposed.exposures), str(exposed.outcomes),
               "--experiment", TOWERS, "--control", CONTROL, "--metric", exposed.metric, "--since", at,
               "--report", str(release.folder / "canary.html"))  # fmt: skip
    try:
        found = mrse(command, fine=lambda code: code in (0, NOT_IN_ORDER))
    except StepFailed as error:
        return f"what users did cannot be read: {error}"
    if found["mismatch"]:
        return "the users are not split by the weights, so no figure of the canary can be trusted"
    # Latency and the rest are guarded by the metrics, with bounds: to be surely a little slower is no harm.
    for each in found["against"]:
        if each["verdict"] == "worse":
            return f"`{shown(command[:2])}`: {exposed.metric} is surely lower"
    return None


def _promote(release: Release) -> Outcome:
    assert release.version is not None

    def change(again: bool = False) -> None:
        write_towers(release.plan.config, release.candidate, again=again)

    names = f"{release.plan.config} names {release.version}"
    if release.in_place or release.before is None:
        change()
        return Outcome(
            f"{release.version} serves, fed anew"
            if release.in_place
            else f"{names}: a service can be started with it"
        )
    wanted = {CONTROL: (release.version, release.index_version)}
    release.fleet.take(wanted, _patient(release, "promote"), change=change)
    return Outcome(f"{release.version} serves" if release.fleet else names)


def take_back(release: Release) -> Outcome:
    """Let what served before answer everything, and be loaded alone.

    Raises:
        StepFailed: the configuration or the services do not take it; the message says who answers what.
    """
    before = release.before
    assert before is not None
    off = False
    try:
        off = release.fleet.switch(on=False)
    except ServicesError as error:
        release.tell(f"roll back: the switch is not thrown, the reload takes longer: {error}")
    try:
        release.fleet.take(
            {CONTROL: loaded_of(before)},
            _patient(release, "roll back"),
            change=lambda again: write_towers(
                release.plan.config, Side(before.bundle, before.index), again=again
            ),
        )
    except MrseError as error:
        who = "the switch keeps it from traffic" if off else "it may still answer its share"
        raise StepFailed(f"the canary is not taken back, {who}: {error}") from error
    if off:
        release.fleet.switch(on=True)
    return Outcome(f"{before.version} answers everything")


CANARY_STEP = Work("canary", "let it answer a share of the traffic", _canary, _no_canary)
WATCH = Work("watch", "see that it does no harm", _watch, _no_watch)
PROMOTE = Work("promote", "let it answer everything", _promote)
ROLL_BACK = Work("roll back", "let what served before answer everything", take_back)
