"""Begins a release, or goes on with one, and notes how one ended."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from cli.release.plan import Plan, PlanError
from cli.release.release import Release, bundle_version
from cli.release.services import Fleet
from cli.release.state import Current, Past, Served, StateFile, Verdict, new_release, now
from cli.release.steps import training_digest
from cli.release.towers import Configured, Side, read_towers
from common.files import refuse_others


def open_release(plan: Plan, fleet: Fleet, tell: Callable[[str], None], *, fresh: bool = False) -> Release:
    """The release that goes on, or a new one; whatever it was, the state now has it as the current one.

    Nothing is changed yet, nor is the state saved: `mrse release --dry-run` calls this, too.

    Another plan, other files of the shop, or something else that serves are another release, but for one
    that has changed what serves: it goes on, unless it has been promoted.

    Raises:
        StateError, PlanError, SettingsError, DataError: something of it cannot be read.
        OwnerError: the configuration could not be replaced.
    """
    file = StateFile(plan.work)
    configured = read_towers(plan.config)
    made_of = _made_of(plan)
    current = file.state.current
    given_up = None
    if current is not None:
        ours = changed_what_serves(current, configured)
        why = "--fresh" if fresh else _is_another(current, configured, made_of)
        if why is not None and (promoted(current) or not ours):
            given_up = give_up(Release(plan, file, configured.engine, fleet, tell), why)
            current = None
        elif fresh:
            raise PlanError(f"the canary of {current.release} is out; --abort takes it back, then begin anew")
        else:
            tell(f"release {current.release} goes on")
    if current is None:
        if configured.canary is not None:
            raise PlanError(
                f"{plan.config} has an arm canary that no release here put there; take it out, and reload"
            )
        refuse_others(plan.config)  # now, not after hours
        before = _before(plan, configured, file)
        if before is None:
            _refuse_unknown(plan, fleet)
        file.state.current = Current(release=new_release(plan.work), made_of=made_of, before=before)
    return Release(plan, file, configured.engine, fleet, tell, given_up)


def changed_what_serves(current: Current, configured: Configured) -> bool:
    """Whether there is something to take back: a canary in the configuration, or what came after one."""
    if configured.canary is not None:
        return True
    return current.before is not None and any(begun(current, name) for name in ("watch", "promote"))


def promoted(current: Current) -> bool:
    """Whether nothing but old files is left to do."""
    step = current.steps.get("promote")
    return step is not None and step.state == "done"


def begun(current: Current, name: str) -> bool:
    """Whether a step was begun, and had something to do."""
    step = current.steps.get(name)
    return step is not None and step.state != "skipped"


def _is_another(current: Current, configured: Configured, made_of: str) -> str | None:
    """Why what is to be made now is another release than ``current``; None where it is not."""
    if current.made_of != made_of:
        return "the plan or the shop's files are others"
    before = None if current.before is None else Side(current.before.bundle, current.before.index)
    if configured.control != before and not begun(current, "promote"):
        return "what serves is not what served when it began"
    return None


def give_up(release: Release, why: str) -> Release | None:
    """End the current release where it is; the state is not saved yet.

    Returns:
        the release, whose version is to be dropped from Vespa before the state is saved; None where it
        serves.
    """
    if promoted(release.current):
        release.tell(f"release {release.current.release} had been promoted; old files were left: {why}")
        note(release, "promoted", release.current.steps["promote"].says)
        return None
    release.tell(f"release {release.current.release} is given up: {why}")
    note(release, "aborted", why)
    return release


def note(release: Release, verdict: Verdict, says: str) -> None:
    """Put the current release into the history; the state is not saved yet."""
    state, current = release.file.state, release.current
    served = None
    if verdict == "promoted":
        assert release.version is not None
        before = release.before
        trained = release.found("train").get("trained")
        if trained is None and before is not None and before.version == release.version:
            trained = before.trained
        side = release.candidate
        served = Served(bundle=side.bundle, index=side.index, version=release.version, trained=trained)
    training = release.found("embed").get("training", training_digest(release.plan.train))
    state.history.append(
        Past(
            release=current.release, verdict=verdict, ended=now(), says=says, served=served,
            before=current.before, training=training,
        )
    )  # fmt: skip
    state.current = None


def _made_of(plan: Plan) -> str:
    """Digest of the shop's files and of what of the plan makes bundle and index."""
    from artifacts.shop.shop import Shop

    asked = plan.model_dump_json(exclude={"services", "canary", "exposed", "keep", "file"})
    return hashlib.sha256(f"{asked}\0{Shop.open(plan.shop).fingerprint()}".encode()).hexdigest()[:16]


def _refuse_unknown(plan: Plan, fleet: Fleet) -> None:
    """Fail where something serves that the configuration does not name: it would be replaced unseen."""
    for address, told in fleet.look()[0].items():
        for bundle, _ in told.loaded.values():
            raise PlanError(
                f"{address} serves {bundle}, which {plan.config} does not name: let the configuration "
                "alone say what serves, not --bundle or MRSE_BUNDLE_PATH"
            )


def _before(plan: Plan, configured: Configured, file: StateFile) -> Served | None:
    side = configured.control
    if side is None:
        return None
    for path in (side.bundle, side.index):
        if not Path(path).exists():
            raise PlanError(
                f"{plan.config} names {path}, which is not there; name what serves by its whole path"
            )
    promoted = [past.served for past in file.state.history if past.served is not None]
    trained = next((each.trained for each in reversed(promoted) if each.bundle == side.bundle), None)
    version = bundle_version(Path(side.bundle))
    return Served(bundle=side.bundle, index=side.index, version=version, trained=trained)
