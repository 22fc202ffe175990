"""Does the steps of a release in order, and goes on where a killed one stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.release import canary, steps, tidy, vespa_steps
from cli.release.begin import begun, changed_what_serves, give_up, note, promoted
from cli.release.plan import Plan, PlanError
from cli.release.release import UNKNOWN, Outcome, Release, Work, loaded_of
from cli.release.services import Fleet
from cli.release.state import Past, StateFile, Step, Verdict, last_way_back, new_release, now
from cli.release.towers import Side, read_towers, write_towers
from common.errors import MrseError

_FIRST = (steps.CHECK, steps.TRAIN, steps.EXPORT, steps.GATE, steps.EMBED)
_EMBEDDED = (steps.BUILD, steps.CALIBRATE, steps.VERIFY, steps.PRODUCE, steps.CHANGES)
_VESPA = (*vespa_steps.STEPS, steps.PRODUCE)
_LAST = (canary.WATCH, canary.PROMOTE, tidy.TIDY)
_DONE = ("done", "skipped")


@dataclass(frozen=True)
class Row:
    """A line of the table: a step, how it stands, and what is to be told."""

    name: str
    state: str
    seconds: float
    says: str


@dataclass(frozen=True)
class Result:
    """What a release came to; ``verdict`` is None for a dry run."""

    release: str
    verdict: Verdict | None
    says: str
    rows: list[Row]


def works(engine: str) -> Sequence[Work]:
    """The steps of a release, in order."""
    if engine == "vespa":
        return (*_FIRST, *_VESPA, canary.CANARY_STEP, vespa_steps.CATCH_UP, *_LAST)
    return (*_FIRST, *_EMBEDDED, canary.CANARY_STEP, *_LAST)


def run(release: Release) -> Result:
    """Do what is left of a release.

    Raises:
        MrseError: a step failed; the state says which, and the next call tries it again.
    """
    release.folder.mkdir(parents=True, exist_ok=True)
    if release.given_up is not None:
        tidy.drop_taken_back(release.given_up)
    release.file.save()
    if release.step("roll back") is not None and not _found_bad(release):
        return _take_back(release)  # --abort was killed, or failed
    planned = works(release.engine)
    for place, work in enumerate(planned, 1):
        step = _do(release, work, f"[{place}/{len(planned)}]")
        if step.state == "refused":
            return _refused(release, work, step)
        if work in (steps.CHANGES, vespa_steps.STEPS[-1]) and _unchanged(release):
            return _end(release, "unchanged", "what was made is what serves already")
    return _end(release, "promoted", release.current.steps["promote"].says)


def _found_bad(release: Release) -> bool:
    watch = release.step("watch")
    return watch is not None and watch.state == "refused"


def _take_back(release: Release) -> Result:
    _do(release, canary.ROLL_BACK, "[!]")
    return _end(release, "aborted", "given up")


def _refused(release: Release, work: Work, step: Step) -> Result:
    if work is canary.WATCH:
        _do(release, canary.ROLL_BACK, "[!]")
        return _end(release, "rolled back", step.says)
    return _end(release, "refused", step.says)


def _do(release: Release, work: Work, place: str) -> Step:
    known = release.step(work.name)
    if known is not None and known.state in (*_DONE, "refused"):
        return known
    why = work.skip(release) if known is None or known.state != "running" else None
    if why is not None:
        step = release.current.steps[work.name] = Step(state="skipped", began=now(), says=why)
        release.file.save()
        release.tell(f"{place} {work.name}: nothing to do: {why}")
        return step
    step = known or Step(state="running", began=now())
    step.state, step.says = "running", ""
    release.current.steps[work.name] = step
    release.file.save()
    release.tell(f"{place} {work.name}: {work.about}")
    started, before = time.monotonic(), step.seconds
    try:
        outcome: Outcome = work.act(release)
    except (MrseError, OSError) as error:
        step.state, step.says, step.seconds = "failed", str(error), before + time.monotonic() - started
        release.file.save()
        raise
    step.state, step.says = outcome.state, outcome.says
    step.found = {**step.found, **outcome.found}
    step.seconds = before + time.monotonic() - started
    release.file.save()
    release.tell(f"{place} {work.name}: {step.state}, {step.seconds:.1f} s: {step.says}")
    return step


def _unchanged(release: Release) -> bool:
    """Whether an embedded index has the very bytes of the one that serves, to which nobody made changes."""
    from index.embedded.manifest import MANIFEST_NAME, read_manifest
    from index.embedded.store import ChangesHeld, refuse_changes

    before = release.before
    if before is None or release.engine != "embedded" or release.version != before.version:
        return False
    index = Path(before.index)
    changed = release.step("changes")
    if not (index / MANIFEST_NAME).is_file() or (changed is not None and changed.state == "done"):
        return False
    try:
        refuse_changes(index)
    except ChangesHeld:
        return False
    return read_manifest(index, verify=False).index_version == release.index_version


def _end(release: Release, verdict: Verdict, says: str) -> Result:
    """Note how a release ended; the next call begins another one."""
    note(release, verdict, says)
    if verdict in ("refused", "rolled back", "aborted"):
        tidy.drop_taken_back(release)
    if verdict != "promoted":
        try:
            tidy.remove_old(release)
        except OSError as error:
            release.tell(f"old releases are not removed: {error}")
    release.file.save()
    return Result(release.current.release, verdict, says, rows(release))


def abort(plan: Plan, fleet: Fleet, tell: Callable[[str], None]) -> Result:
    """Give the release that is under way up; its canary, where it has one, is taken back.

    Raises:
        PlanError: there is none, or it has been promoted.
        StepFailed: the canary cannot be taken back.
    """
    file = StateFile(plan.work)
    current = file.state.current
    if current is None:
        raise PlanError(f"{file.path} knows of no release that is under way")
    if promoted(current):
        raise PlanError(
            f"release {current.release} has been promoted, and files of old releases are left to remove; "
            "--back lets what served before serve again"
        )
    configured = read_towers(plan.config)
    release = Release(plan, file, configured.engine, fleet, tell)
    # One that failed may be loaded yet, though the configuration names it no more.
    if changed_what_serves(current, configured) or begun(current, "canary"):
        return _take_back(release)
    return _end(release, "aborted", "given up")


def go_back(plan: Plan, fleet: Fleet, tell: Callable[[str], None]) -> Result:
    """Let what the last promotion replaced serve again; a release that is under way is given up.

    Raises:
        PlanError: there is nothing to go back to, or a canary is out.
    """
    file = StateFile(plan.work)
    configured = read_towers(plan.config)
    current, given_up = file.state.current, None
    if current is not None:
        if not promoted(current) and changed_what_serves(current, configured):
            raise PlanError(f"the canary of {current.release} is out; --abort takes it back")
        given_up = give_up(Release(plan, file, configured.engine, fleet, tell), "--back")
    last = last_way_back(file.state.history)
    if last is None or last.before is None or last.served is None:
        raise PlanError(f"{file.path} knows of nothing that served before")
    wanted, there = last.before, configured.control
    known = [(each.bundle, each.index) for each in (last.served, wanted)]  # the latter: going back failed
    if there is None or (there.bundle, there.index) not in known:
        raise PlanError(
            f"{plan.config} does not name what release {last.release} promoted; nothing was changed"
        )
    for path in (wanted.bundle, wanted.index):
        if not Path(path).exists():
            raise PlanError(f"{path} is not there any more")
    began = now()
    if given_up is not None:
        tidy.drop_taken_back(given_up)
    file.save()
    fleet.take(
        {"control": loaded_of(wanted)},
        lambda what: tell(f"waiting: {what}"),
        change=lambda again: write_towers(plan.config, Side(wanted.bundle, wanted.index), again=again),
    )
    name = new_release(plan.work)
    says = f"back from {last.served.version} to {wanted.version}"
    file.state.history.append(
        Past(release=name, verdict="promoted", ended=now(), says=says, served=wanted, before=last.served)
    )
    file.save()
    return Result(name, "promoted", says, [Row("back", "done", now() - began, says)])


def rows(release: Release) -> list[Row]:
    """The steps that were begun, for the table."""
    return [Row(name, step.state, step.seconds, step.says) for name, step in release.current.steps.items()]


def foresee(release: Release) -> Result:
    """What `run` would do now; nothing is done."""
    from cli.release.commands import shown

    found = []
    for work in works(release.engine):
        known = release.step(work.name)
        if known is not None and known.state in _DONE:
            found.append(Row(work.name, known.state, known.seconds, known.says))
            continue
        why = work.skip(release)
        if why is not None:
            found.append(Row(work.name, "would skip", 0.0, why))
        else:
            says = work.about if work.command is None else shown(work.command(release))
            found.append(Row(work.name, "would do", 0.0, says))
    return Result(release.current.release, None, f"{UNKNOWN} stands for what a step before finds out", found)
