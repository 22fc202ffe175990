"""Removes the files of old releases, and old versions from Vespa."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from cli.release.commands import StepFailed, mrse
from cli.release.release import Outcome, Release, Work
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
    promoted = [past.before for past in release.file.state.history if past.served is not None]
    for before in (release.before, *promoted[-1:]):  # ways back: of this release, and of the last promotion
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
    kept = {release.version, release.before.version if release.before else None}
    dropped = []
    for past in release.file.state.history:
        for served in (past.served, past.before):
            if served is None or served.version in kept or not Path(served.index).is_file():
                continue
            # By document type: a package may have two of one bundle.
            if _dropped(release, Path(served.index).stem):
                dropped.append(served.version)
            kept.add(served.version)
    return dropped


def drop_taken_back(release: Release) -> None:
    """Drop what a release put into Vespa and what does not come to serve: it would take the nodes' memory."""
    name = release.found("package").get("document_type")
    if release.engine != "vespa" or name is None or not Path(release.index).is_file():
        return
    last = [past for past in release.file.state.history if past.served is not None][-1:]
    ways = [release.before, *(each for past in last for each in (past.served, past.before))]
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
