"""Removes the files of old releases, and old versions from Vespa."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from cli.release.commands import StepFailed, mrse
from cli.release.release import Outcome, Release, Work
from cli.release.state import last_way_back
from cli.release.towers import read_towers

_RELEASE = re.compile(r"\d{8}-\d{6}(-\d+)?")


def _tidy(release: Release) -> Outcome:
    removed = remove_old(release)
    says = f"{removed} folders removed"
    if release.engine == "vespa" and (dropped := _drop(release)):
        says += f"; dropped {', '.join(dropped)}"
    return Outcome(says)


def remove_old(release: Release) -> int:
    """Remove folders of releases beyond those that are kept, but for what the configuration names.

    Returns:
        how many folders were removed.
    """
    plan = release.plan
    configured = read_towers(plan.config)
    used = [Path(path).resolve() for side in (configured.control, configured.canary) if side
            for path in (side.bundle, side.index)]  # fmt: skip
    last = last_way_back(release.file.state.history)
    for before in (release.before, None if last is None else last.before):  # of this release, and of the last
        if before is not None:
            used += [Path(before.bundle).resolve(), Path(before.index).resolve()]
    folders = sorted(
        (path for path in plan.work.iterdir() if path.is_dir() and _RELEASE.fullmatch(path.name)),
        reverse=True,
    )
    removed = 0
    for folder in folders:
        own = folder == release.folder
        if own or folder in folders[: plan.keep]:
            continue
        removed += _remove(folder.resolve(), used)
    return removed


def _remove(path: Path, used: list[Path]) -> int:
    """Remove a folder but for what is used below it; how many folders are gone."""
    if path in used:
        return 0
    if not any(each.is_relative_to(path) for each in used):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        return 1
    return sum(_remove(each, used) for each in path.iterdir())


def _drop(release: Release) -> list[str]:
    """Drop versions that releases fed and that are neither served nor the way back."""
    kept = {Path(release.index).stem, *_ways_back(release)}
    dropped = []
    for past in release.file.state.history:
        for served in (past.served, past.before):
            # By document type: a package may have two of one bundle.
            if served is None or Path(served.index).stem in kept or not Path(served.index).is_file():
                continue
            kept.add(name := Path(served.index).stem)
            if _dropped(release, name):
                dropped.append(name)
    return dropped


def _ways_back(release: Release) -> set[str]:
    """Document types that ``--back`` may need: what served before, or before it was fed anew."""
    before = release.before
    if release.in_place:
        last = last_way_back(release.file.state.history)
        return set() if last is None or last.before is None else {Path(last.before.index).stem}
    return set() if before is None else {Path(before.index).stem}


def drop_taken_back(release: Release) -> None:
    """Drop what a release put into Vespa and what does not come to serve: it would take the nodes' memory."""
    name = release.found("package").get("document_type")
    if release.engine != "vespa" or release.plan.vespa is None or name is None:
        return
    if not Path(release.index).is_file():
        return
    last = last_way_back(release.file.state.history)
    ways = [release.before, *(() if last is None else (last.served, last.before))]
    if name not in {Path(each.index).stem for each in ways if each is not None} and _dropped(release, name):
        release.tell(f"dropped {name} from Vespa")


def _dropped(release: Release, version: str) -> bool:
    """Drop a version, and say where that fails."""
    plan = release.plan
    assert plan.vespa is not None
    servers = [word for url in plan.vespa.config_servers for word in ("--config-server", url)]
    try:
        mrse(("vespa", "drop", version, "--package", str(plan.vespa.package),
              "--config", str(plan.config), *servers))  # fmt: skip
    except StepFailed as error:
        release.tell(f"tidy: {version} stays in Vespa: {error}")
        return False
    return True


TIDY = Work("tidy", "remove the files of old releases", _tidy)
