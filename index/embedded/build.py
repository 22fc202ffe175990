"""From an embeddings folder to an index folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.attributes import (
    CATEGORY,
    MAX_CHARACTERS,
    MAX_LISTED,
    MAX_LISTED_CHARACTERS,
    too_large,
)
from artifacts.embeddings import EmbeddingsError, EmbeddingsFolder
from artifacts.words import RULES
from common.arrays import I64
from common.progress import StageProgress, silent_stage
from index.embedded.attributes import Column
from index.embedded.base import CLUSTER_ROWS, BaseSource, write_base
from index.embedded.columns import attribute_column
from index.embedded.ids import DuplicateId
from index.embedded.manifest import MANIFEST_NAME, IndexManifest, Pictures, TextSpec
from index.embedded.store import install, refuse_changes, working_folder, write_lock
from index.embedded.texts import BATCH


def build_index(
    embeddings: Path,
    target: Path,
    progress: StageProgress = silent_stage,
    *,
    cluster_rows: int = CLUSTER_ROWS,
    drop_changes: bool = False,
) -> IndexManifest:
    """Build an index folder; readers see the old one or the new one, never half of one.

    The same embeddings give the same bytes and so the same version. Rows stand in the order of the
    embeddings, or list by list where they are clustered.

    Args:
        embeddings: a folder that `mrse embed` wrote.
        target: the index folder; an index that is there is replaced. Who has it open moves to the new
            one, if its bundle, attributes and picture features are the same, else keeps it.
        progress: told the vectors that were read, and those that all passes through them read.
        cluster_rows: from this many rows on vectors are clustered, and a search probes lists.
        drop_changes: replace an index although changes were made to it, which are lost.

    Raises:
        ChangesHeld: changes were made to the index that is there, and ``drop_changes`` is not set.
        EmbeddingsError: a file is missing, or its content is not what the others say.
        FileExistsError: the target is there and is no index.
    """
    if target.exists() and not (target / MANIFEST_NAME).is_file() and any(target.iterdir()):
        raise FileExistsError(f"{target} is there and is no index folder")
    if not drop_changes:
        refuse_changes(target)  # before the work; and once more when nobody can make any
    folder = EmbeddingsFolder.open(embeddings)
    spec = None
    if folder.meta.text_fields:
        spec = TextSpec(fields=folder.meta.text_fields, language=folder.meta.language, rules=RULES)
    pictures = folder.meta.picture_dim
    source = BaseSource(
        manifest=IndexManifest(
            bundle_version=folder.meta.bundle_version,
            data=folder.meta.data,
            rows=folder.meta.rows,
            dim=folder.meta.dim,
            experts=folder.meta.experts,
            expert_dim=folder.meta.expert_dim,
            attributes={**folder.attributes, CATEGORY: "list"},
            texts=spec,
            pictures=Pictures(dim=pictures) if pictures else None,
            format=3 if pictures or spec is not None else 2,
        ),
        ids=folder.id_column(),
        column=partial(_column, folder),
        vectors=folder.checked_vectors,
        features=folder.checked_features,
        texts=None if spec is None else partial(_texts, folder),
        pictures=folder.checked_pictures if pictures else None,
    )
    with working_folder(target) as work:
        try:
            manifest = write_base(source, work, cluster_rows=cluster_rows, progress=progress)
        except DuplicateId as error:
            raise EmbeddingsError(folder.items_file, str(error)) from error
        with write_lock(target):
            if not drop_changes:
                refuse_changes(target)
            return install(target, work, manifest, after_log=True)


def _column(folder: EmbeddingsFolder, name: str, order: I64) -> Column:
    values = folder.column(name).take(pa.array(order))
    _check_values(folder, name, values)
    try:
        return attribute_column(name, "string" if name == CATEGORY else folder.attributes[name], values)
    except ValueError as error:
        raise EmbeddingsError(folder.items_file, f"column {name!r} {error}") from error


def _texts(folder: EmbeddingsFolder, order: I64) -> Iterator[Sequence[Mapping[str, str]]]:
    """The texts of some rows; where these are not in the order of the file, all texts are in memory."""
    if (order == np.arange(len(order))).all():
        yield from folder.texts(BATCH)
        return
    columns = folder.text_columns()
    for start in range(0, len(order), BATCH):
        rows = pa.array(order[start : start + BATCH])
        taken = {name: column.take(rows).to_pylist() for name, column in columns.items()}
        yield [
            {name: text for name, text in zip(taken, row, strict=True) if text}
            for row in zip(*taken.values(), strict=True)
        ]


def _check_values(folder: EmbeddingsFolder, name: str, values: Any) -> None:
    """Refuse strings that are over the bounds; each distinct one is looked at once."""
    listed = pa.types.is_list(values.type) or pa.types.is_large_list(values.type)
    texts = pc.list_flatten(values) if listed else values
    if pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type):
        for text in pc.unique(texts).to_pylist():
            if text is not None and (reason := too_large(name, text)):
                raise EmbeddingsError(folder.items_file, f"column {name!r} {reason}: {text[:40]!r}…")
    if listed and (most := pc.max(pc.list_value_length(values)).as_py() or 0) > MAX_LISTED:
        raise EmbeddingsError(
            folder.items_file,
            f"column {name!r} has a list of {most} values; at most {MAX_LISTED} are allowed",
        )
    few = MAX_LISTED_CHARACTERS // MAX_CHARACTERS  # which cannot hold as many characters
    if listed and most > few:
        for row in values.filter(pc.greater(pc.list_value_length(values), few)).to_pylist():
            if reason := too_large(name, row):
                raise EmbeddingsError(folder.items_file, f"column {name!r} {reason}")
