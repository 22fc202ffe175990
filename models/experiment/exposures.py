"""The exposure log of one experiment, as columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from artifacts.exposures import FILE_PREFIX, FORMAT
from common.arrays import F64, I64, Bool
from common.errors import MrseError
from common.progress import Progress, silent

#: Items of an answer by which arms are compared.
OVERLAP_AT = 10
#: In place of an experiment and of its arm: all answers, where teams drafted them and no arms differ. No
#: experiment can have this name.
EVERY = "*"
_SUFFIXES = (".jsonl", ".parquet")


class ExposuresError(MrseError, ValueError):
    """The exposures cannot be used; the message says why."""


@dataclass
class Exposures:
    """The answers of an experiment whose arms were drawn, ``n`` of them, in the order of time.

    Attributes:
        experiment: its name.
        arms: names, in the order of the numbers.
        clients: number of a unit by its ``client_id``.
        client: ``[n]``, the unit of each answer.
        arm: ``[n]``.
        share: ``[n]``, of the units that the arm was to get.
        at: ``[n]``, seconds since 1970.
        took_ms, partial, empty: ``[n]``.
        requests: the unit of each answer by its ``query_id``.
        drafted: answers whose items were drafted by teams.
        answers: query to arm to the first items of its last answer.
        skipped: answers that take no part, by why.
    """

    experiment: str
    arms: list[str]
    clients: dict[str, int]
    client: I64
    arm: I64
    share: F64
    at: F64
    took_ms: F64
    partial: Bool
    empty: Bool
    requests: dict[str, int]
    answers: dict[str, dict[int, list[str]]]
    drafted: int = 0
    skipped: dict[str, int] = field(default_factory=dict)

    def overlap(self, base: int, other: int) -> tuple[float, int]:
        """The share of first items that two arms have in common where both answered a query; such queries."""
        shares = []
        for by_arm in self.answers.values():
            if base in by_arm and other in by_arm:
                ours, theirs = set(by_arm[base]), set(by_arm[other])
                most = min(OVERLAP_AT, max(len(ours), len(theirs)))
                shares.append(len(ours & theirs) / most if most else 1.0)
        return (float(np.mean(shares)) if shares else float("nan")), len(shares)


def read_exposures(
    path: Path, experiment: str | None, progress: Progress = silent, since: float = 0.0
) -> Exposures:
    """The exposures of a file, or of all files of a folder.

    Args:
        path: JSON lines or Parquet.
        experiment: which; None where only one has several arms.
        progress: told how far it is.
        since: seconds since 1970; answers before take no part.

    Raises:
        ExposuresError: there are none, or it is not told of which experiment.
    """
    if experiment is None:
        experiment = _only_experiment(path)
    arms: dict[str, int] = {}
    clients: dict[str, int] = {}
    requests: dict[str, int] = {}
    answers: dict[str, dict[int, list[str]]] = {}
    skipped: Counter[str] = Counter()
    drafted = 0
    rows: list[tuple[int, int, float, float, float, bool, bool]] = []
    for event, arm_name, at in taking_part(path, experiment, skipped, since):
        attributes = event["query_attributes"]
        if event["query_id"] in requests:
            skipped["told twice"] += 1
            continue
        arm = arms.setdefault(arm_name, len(arms))
        client = clients.setdefault(event["client_id"], len(clients))
        requests[event["query_id"]] = client
        hits = event["query_response_hit_ids"]
        if words := attributes["query_hash"]:
            answers.setdefault(words, {})[arm] = hits[:OVERLAP_AT]
        share = 1.0 if experiment == EVERY else attributes["shares"].get(experiment) or 0.0
        drafted += bool(attributes.get("teams"))
        rows.append(
            (client, arm, share, at, float(attributes["took_ms"]), bool(attributes["partial"]), not hits)
        )
        if len(rows) % 50_000 == 0:
            progress("exposures", len(rows), None)
    if not rows:
        raise ExposuresError(f"{path} has no exposures of the experiment {experiment}")
    rows.sort(key=lambda row: row[3])
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Exposures(
        experiment, list(arms), clients, columns[0].astype(np.int64), columns[1].astype(np.int64),
        columns[2].astype(np.float64), columns[3].astype(np.float64), columns[4].astype(np.float64),
        columns[5].astype(bool), columns[6].astype(bool), requests, answers, drafted, dict(skipped),
    )  # fmt: skip


def taking_part(
    path: Path, experiment: str, skipped: Counter[str], since: float
) -> Iterator[tuple[Mapping[str, Any], str, float]]:
    """The answers of a log that take part in an experiment: the event, its arm, and seconds since 1970.

    Args:
        path: a file or a folder.
        experiment: its name; `EVERY`: all answers, as of one arm.
        skipped: counts what takes no part, by why.
        since: seconds since 1970; answers before take no part.

    Raises:
        ExposuresError: it cannot be read.
    """
    for event in _events(path, skipped):
        attributes = event["query_attributes"]
        arm = EVERY if experiment == EVERY else attributes["arms"].get(experiment)
        if arm is None:
            skipped["not in the experiment"] += 1
            continue
        if experiment in attributes["forced"]:
            skipped["arm chosen by a header"] += 1
            continue
        at = datetime.fromisoformat(event["timestamp"]).timestamp()
        if at < since:
            skipped["too early"] += 1
            continue
        yield event, arm, at


def files_of(path: Path) -> list[Path]:
    """The files of a log: itself, or those of a folder.

    Raises:
        ExposuresError: there are none.
    """
    if path.is_file():
        return [path]
    found = sorted(file for file in path.glob(f"{FILE_PREFIX}*") if file.suffix in _SUFFIXES)
    if not found:
        raise ExposuresError(f"{path} has no {FILE_PREFIX}*.jsonl or .parquet")
    return found


def _events(path: Path, skipped: Counter[str]) -> Iterator[Mapping[str, Any]]:
    for file in files_of(path):
        for event in _parquet(file) if file.suffix == ".parquet" else _lines(file, skipped):
            if event.get("format") != FORMAT:
                raise ExposuresError(
                    f"{file} is of format {event.get('format')}; this version reads {FORMAT}"
                )
            yield event


def _lines(file: Path, skipped: Counter[str]) -> Iterator[Mapping[str, Any]]:
    with file.open("rb") as lines:
        for line in lines:
            try:
                event = orjson.loads(line)
            except ValueError:  # torn by a full disk, or by a kill
                skipped["damaged lines"] += 1
                continue
            if not isinstance(event, dict) or "query_attributes" not in event:
                raise ExposuresError(f"{file} has lines that are no exposures")
            yield event


def _parquet(file: Path) -> Iterator[Mapping[str, Any]]:
    from pyarrow import ArrowException, parquet

    try:
        for batch in parquet.ParquetFile(file).iter_batches(4096):
            for event in batch.to_pylist():
                attributes = event["query_attributes"]
                yield {
                    **event,
                    "query_attributes": {
                        **attributes,
                        "arms": dict(attributes["arms"]),
                        "shares": dict(attributes["shares"]),
                    },
                }
    except (ArrowException, KeyError, TypeError) as error:
        raise ExposuresError(f"{file} cannot be read as exposures: {error}") from error


def _only_experiment(path: Path) -> str:
    """The experiment with several arms, where there is one alone; without any, what teams drafted."""
    seen: dict[str, set[str]] = {}
    drafted = False
    for event in _events(path, Counter()):
        drafted = drafted or bool(event["query_attributes"].get("teams"))
        for name, arm in event["query_attributes"]["arms"].items():
            seen.setdefault(name, set()).add(arm)
    several = sorted(name for name, arms in seen.items() if len(arms) > 1)
    if not several and drafted:
        return EVERY
    if len(several) != 1:
        found = ", ".join(several) or "none"
        raise ExposuresError(f"experiments with several arms: {found}; say which, with --experiment")
    return several[0]
