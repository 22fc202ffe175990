"""``mrse index verify``, ``snapshot``, ``restore``, ``repair``: the files of an index that may be in use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.commands.index import Index
from cli.console import Json, counted, fail, out, print_json, progress
from common.errors import NOT_IN_ORDER, USAGE
from common.hints import absent
from common.progress import stage_progress

if TYPE_CHECKING:
    from index.embedded.manifest import IndexManifest


def verify(index: Index, json: Json = False) -> None:
    """Read every byte of an index and compare it with what was written: files, ids and the log of changes.

    Exit code 1 when something is damaged; nothing is changed.

    Example: `mrse index verify index/`
    """
    from index.embedded.verify import verify_index

    if (why := absent("index", index)) is not None:
        fail(f"{index}: {why}", USAGE)
    with progress() as report:
        found = verify_index(index, stage_progress(report, "verify"))
    if json:
        damaged = [{"file": str(each.file), "reason": each.reason} for each in found]
        print_json({"path": str(index), "damaged": damaged})
    else:
        for each in found:
            out.print(str(each), soft_wrap=True)
        out.print(f"{index}: {counted(len(found), 'damage') if found else 'every byte is as it was written'}")
    if found:
        raise typer.Exit(NOT_IN_ORDER)


def snapshot(
    index: Index,
    target: Annotated[Path, typer.Argument(help="Folder to write.", file_okay=False)],
    json: Json = False,
) -> None:
    """Copy an index as it is now, while it serves and changes: an index folder with every change so far.

    Every byte is verified on the way; exit code 2 when the index is damaged.

    Example: `mrse index snapshot index/ backup/monday`
    """
    from index.embedded.snapshot import snapshot_index

    with progress() as report:
        manifest = snapshot_index(index, target, stage_progress(report, "snapshot"))
    _tell(target, manifest, json)


def restore(
    snapshot: Annotated[Path, typer.Argument(help="Folder of a snapshot.", exists=True, file_okay=False)],
    index: Annotated[Path, typer.Argument(help="Index folder to write.", file_okay=False)],
    force: Annotated[bool, typer.Option("--force", help="Replace the index that is there.")] = False,
    json: Json = False,
) -> None:
    """Make an index what a snapshot holds. Servers that have it open move to it without a pause.

    With --force an index that is there is replaced; the log of its changes is kept in its quarantine folder.

    Example: `mrse index restore backup/monday index/ --force`
    """
    from index.embedded.snapshot import restore_index

    with progress() as report:
        manifest = restore_index(snapshot, index, stage_progress(report, "restore"), force=force)
    _tell(index, manifest, json)


def repair(
    index: Index,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Go on without the changes that cannot be read.")
    ] = False,
    json: Json = False,
) -> None:
    """Go on with the changes of a damaged log that can be read. The damaged files are kept.

    Without --accept-loss it only says what would be lost. Servers that have the index open move to what is
    left. Exit code 1 when the log is whole, or when changes would be lost.

    Example: `mrse index repair index/ --accept-loss`
    """
    from index.embedded import repair as repairs

    told = repairs.assess(index)
    if told.lost != 0 and not accept_loss:
        lost = "changes, how many cannot be told," if told.lost is None else counted(told.lost, "change")
        kept = counted(told.kept, "change")
        fail(f"{index}: {kept} can be read, {lost} would be lost; --accept-loss goes on")
    done = repairs.repair(index)
    if json:
        print_json({"path": str(index), "kept": done.kept, "lost": done.lost, "aside": str(done.aside)})
        return
    lost = "how many were lost cannot be told" if done.lost is None else f"{done.lost:,} lost"
    out.print(f"{index}: {counted(done.kept, 'change')} kept, {lost}; the damaged log is in {done.aside}")


def _tell(path: Path, manifest: IndexManifest, json: bool) -> None:
    if json:
        print_json({"path": str(path), "index_version": manifest.index_version, "rows": manifest.rows})
    else:
        out.print(f"{path}: version {manifest.index_version}, {manifest.rows:,} items in its base")
