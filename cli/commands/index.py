"""``mrse index``: builds the embedded index and changes it, beside the servers that have it open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import Json, counted, fail, next_command, out, print_json, progress
from cli.options import Embeddings, folder_of
from common.errors import NOT_IN_ORDER, USAGE
from common.progress import stage_progress

if TYPE_CHECKING:
    from index.changes import WriteResult
    from index.embedded.manifest import IndexManifest

    _Change = Callable[..., Coroutine[Any, Any, WriteResult]]

#: Ids that are named when they are not in the index.
_NAMED = 10

Index = Annotated[Path, typer.Argument(help="Index folder.", callback=folder_of("index"))]


def build(
    embeddings: Embeddings,
    to: Annotated[Path, typer.Option("--out", help="Index folder to write.", file_okay=False)],
    cluster_rows: Annotated[
        int | None,
        typer.Option(help="Items from which on the search is by lists, not exact; 200,000 if not given."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Lose the changes of the index that is there.")
    ] = False,
    json: Json = False,
) -> None:
    """Build the embedded index; exact in fp16, from 200,000 items on by lists of measured recall.

    Refuses with exit code 1 where an index is there that was changed since it was built.

    Example: `mrse index build embeddings/ --out index/`
    """
    from index.embedded.base import CLUSTER_ROWS
    from index.embedded.build import build_index
    from index.embedded.store import ChangesHeld

    rows = CLUSTER_ROWS if cluster_rows is None else cluster_rows
    try:
        with progress() as report:
            manifest = build_index(
                embeddings, to, stage_progress(report, "index"), cluster_rows=rows, drop_changes=force
            )
    except ChangesHeld as held:
        kept = f"`mrse index rebuild {to}` keeps them and writes them into the index, "
        fail(f"{held}; {kept if held.unwritten else ''}--force loses them")
    _tell_index(to, manifest, json)
    if not json:
        next_command(f"mrse serve --bundle BUNDLE --index {to}    (the bundle {manifest.bundle_version})")


def upsert(
    index: Index,
    embeddings: Embeddings,
    json: Json = False,
) -> None:
    """Add the items of an embeddings folder, or replace those with the same ids. Seen by the next query.

    Example: `mrse index upsert index/ new-embeddings/`
    """
    from index.embedded.apply import upsert_embeddings

    _change(index, "upsert", upsert_embeddings, embeddings, json)


def update(
    index: Index,
    changes: Annotated[
        Path,
        typer.Argument(help="JSON Lines: an `id` and the attributes to change.", exists=True, dir_okay=False),
    ],
    json: Json = False,
) -> None:
    """Change attributes of items; null takes one away, the others stay. Seen by the next query.

    Exit code 1 when none of the ids is in the index.

    Example: `echo '{"id": "42", "price": 9.5}' > changes.jsonl; mrse index update index/ changes.jsonl`
    """
    from index.embedded.apply import update_from

    _change(index, "update", update_from, changes, json)


def remove(
    index: Index,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of items.")] = None,
    listed: Annotated[
        Path | None, typer.Option("--from", help="File with an id in each line.", dir_okay=False, exists=True)
    ] = None,
    json: Json = False,
) -> None:
    """Delete items. Seen by the next query. Exit code 1 when none of the ids is in the index.

    Example: `mrse index remove index/ 42 43`
    """
    from index.embedded.apply import remove_ids

    gone = list(ids or [])
    if listed is not None:
        gone += [line for line in listed.read_text(encoding="utf-8").splitlines() if line]
    if not gone:
        fail("name the ids to delete, or a file with --from", USAGE)
    _change(index, "remove", remove_ids, gone, json)


def rebuild(index: Index, json: Json = False) -> None:
    """Write the changes made so far into the index itself; servers move to it without a pause.

    Example: `mrse index rebuild index/`
    """
    from index.embedded.rebuild import rebuild_index

    with progress() as report:
        manifest = rebuild_index(index, stage_progress(report, "index"))
    _tell_index(index, manifest, json)


def _change(index: Path, stage: str, change: _Change, wanted: Path | list[str], json: bool) -> None:
    with progress() as report:
        result = asyncio.run(change(index, wanted, stage_progress(report, stage)))
    if json:
        print_json({"path": str(index), "written": result.written, "unknown": list(result.unknown)})
    else:
        out.print(f"{index}: {counted(result.written, 'item')} written")
        if result.unknown:
            named = ", ".join(result.unknown[:_NAMED]) + (" …" if len(result.unknown) > _NAMED else "")
            out.print(f"not in the index: {counted(len(result.unknown), 'id')}: {named}")
    if result.unknown and not result.written:
        raise typer.Exit(NOT_IN_ORDER)


def _tell_index(index: Path, manifest: IndexManifest, json: bool) -> None:
    probing = manifest.probing
    recall = min(probing.recall.values()) if probing is not None and probing.recall else None
    if json:
        print_json(
            {
                "path": str(index),
                "index_version": manifest.index_version,
                "rows": manifest.rows,
                "kind": manifest.kind,
                "recall": None if probing is None else probing.recall,
            }
        )
        return
    text = f"{index}: {counted(manifest.rows, 'item')}, version {manifest.index_version}, {manifest.kind}"
    out.print(text if recall is None else f"{text}, measured recall at least {recall:.3f}")
