"""A folder as lines for Vespa's own feed client: JSONL of puts, with the conditions that keep newer changes.

Vespa's ``vespa feed`` and its Java client send over HTTP/2, faster than a Python process can. They know no
ledger, so a change that comes while they feed may be undone by an older line. The ledger counts changes from
the time when the lines are begun; who has fed them sends those once more (`EmbeddingsSource.later`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import BinaryIO

import orjson

from common.progress import Progress, silent
from index.vespa import names
from index.vespa.feed.ledger import FeedRefused
from index.vespa.feed.operations import Operation, Rejected, condition
from index.vespa.feed.report import MAX_FAILURES_KEPT, Failure
from index.vespa.feed.source import EmbeddingsSource
from index.vespa.version import Version

#: Items of a folder that may be refused: their ids are kept, here and in the ledger. *Inferred*: who has more
#: has another mistake.
_MOST_REFUSED = 10_000


@dataclass
class LinesReport:
    """What was written; of the refused items the ids, and the first failures with their reasons."""

    written: int = 0
    refused: set[str] = field(default_factory=set)
    failures: list[Failure] = field(default_factory=list)


def document_line(version: Version, operation: Operation) -> bytes:
    """One operation as a line, with its line break."""
    line: dict[str, object] = {
        operation.kind: f"id:{names.NAMESPACE}:{version.document_type}::{operation.item_id}",
        "condition": condition(version.document_type, operation),
    }
    if operation.kind == "put":
        line["create"] = True
    if operation.kind != "remove":
        line["fields"] = operation.fields
    return orjson.dumps(line) + b"\n"


def write_lines(
    source: EmbeddingsSource, version: Version, feed_ver: int, out: BinaryIO, progress: Progress = silent
) -> LinesReport:
    """Write the items of a folder, as they are with all changes so far.

    Raises:
        EmbeddingsError, FeedRefused: as `EmbeddingsSource.operations`; or so many items cannot be fed that
            something else is wrong than these items.
    """
    report = LinesReport()
    for number, made in source.operations(version, feed_ver, lambda number: False):
        if isinstance(made, Operation):
            out.write(document_line(version, made))
            report.written += 1
        elif isinstance(made, Rejected):
            report.refused.add(made.item_id)
            if len(report.refused) > _MOST_REFUSED:
                raise FeedRefused(
                    f"over {_MOST_REFUSED:,} items cannot be fed, such as {made.item_id}: {made.reason}"
                )
            if len(report.failures) < MAX_FAILURES_KEPT:
                report.failures.append(Failure(number, made.item_id, made.reason))
        progress("lines", report.written + len(report.refused), source.total)
    source.ledger.refuse(feed_ver, source.part, report.refused)
    return report
