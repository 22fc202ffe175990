"""The state of all releases of a plan: one file, replaced whole after each step."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import MrseError
from common.files import read_bounded, replacing

FORMAT = 1
STATE_NAME, _LOCK = "state.json", ".lock"
_MOST_BYTES = 8 * 1024 * 1024
#: Releases before this one that are remembered, beside what `--back` and the days since a training go by.
_HISTORY = 50

#: How a step stands; ``skipped``: there is nothing to do in it.
StepState = Literal["running", "done", "skipped", "refused", "failed"]
#: How a release ended; ``unchanged``: what it made is what serves already.
Verdict = Literal["promoted", "unchanged", "refused", "rolled back", "aborted"]


class StateError(MrseError, ValueError):
    """The state cannot be used; the message says why and what to do."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Step(_Record):
    """A step that was begun.

    ``began`` is in seconds since 1970, ``seconds`` what it took, over all its tries; ``found`` what later
    steps use of it.
    """

    state: StepState
    began: float
    seconds: float = 0.0
    says: str = ""
    found: dict[str, Any] = Field(default_factory=dict)


class Served(_Record):
    """A bundle and an index as the configuration names them; ``trained``: when, in seconds since 1970."""

    bundle: str
    index: str
    version: str
    trained: float | None = None


class Past(_Record):
    """A release that has ended."""

    release: str
    verdict: Verdict
    ended: float
    says: str = ""
    #: What it promoted, and what served before.
    served: Served | None = None
    before: Served | None = None
    training: str = ""


def last_way_back(history: Sequence[Past]) -> Past | None:
    """The last promotion that put something else in the place of what served; None without any.

    One that fed Vespa anew where it was left nothing to go back to, and does not count.
    """
    for past in reversed(history):
        if past.served is not None and past.before is not None:
            served, before = past.served, past.before
            if (served.bundle, served.index) != (before.bundle, before.index):
                return past
    return None


class Current(_Record):
    """The release that is being made.

    Attributes:
        release: its name, of the time when it began.
        made_of: digest of the plan and of the shop's files; another one is another release.
        before: what served when it began; None where nothing did.
        steps: by name, in the order in which they were begun.
    """

    release: str
    made_of: str
    before: Served | None = None
    steps: dict[str, Step] = Field(default_factory=dict)


class State(_Record):
    """What stands in the file."""

    format: int = FORMAT
    current: Current | None = None
    history: list[Past] = Field(default_factory=list)


class StateFile:
    """The file, and what it says.

    Raises:
        StateError: it is damaged, or of a later version.
    """

    def __init__(self, work: Path) -> None:
        self.path = work / STATE_NAME
        self.state = _read(self.path)

    def save(self) -> None:
        """Write it; it is on disk when this returns."""
        history = self.state.history
        promoted = next((past for past in reversed(history) if past.served is not None), None)
        needed = (promoted, last_way_back(history))
        history[:-_HISTORY] = [past for past in history[:-_HISTORY] if past in needed]
        with replacing(self.path, durable=True) as written:
            written.write_text(self.state.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _read(path: Path) -> State:
    try:
        content = json.loads(read_bounded(path, _MOST_BYTES))
    except FileNotFoundError:
        return State()
    except OSError as error:
        raise StateError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise StateError(f"{path}: not JSON: {error}") from error
    found = content.get("format") if isinstance(content, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise StateError(f"{path} is of format {found}, of a later version; this one reads up to {FORMAT}")
    try:
        return State.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise StateError(f"{path}: {where}: {first['msg']}; move it away to begin anew") from error


def new_release(work: Path) -> str:
    """A name of the time, in UTC, that no folder has."""
    name = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    taken = 1
    chosen = name
    while (work / chosen).exists():
        taken += 1
        chosen = f"{name}-{taken}"
    return chosen


@contextmanager
def alone(work: Path) -> Iterator[None]:
    """Keep others from making a release in the same folder meanwhile; a kill lets go.

    Raises:
        StateError: somebody does.
    """
    work.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(work / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StateError(f"another `mrse release` works in {work}; let it end, or stop it") from error
        yield
    finally:
        os.close(descriptor)


def now() -> float:
    """Seconds since 1970."""
    return time.time()
