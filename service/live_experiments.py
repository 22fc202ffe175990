"""What is changed of experiments while the service runs: weights, ramps, switches, the holdout.

It stands in a file that every worker looks at several times a second, so that a switch holds everywhere
within a second, without a signal and whoever wrote it. A file that cannot be used any more changes nothing;
of one that names experiments or arms that there are none of, the rest holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from pathlib import Path

import orjson
from pydantic import ValidationError

from common.errors import MrseError
from common.files import file_stamp, locked, read_bounded, replacing
from service.errors import StartError
from service.experiments import ExperimentBook
from service.settings import Settings
from service.settings.assigning import Live, LivePart, overlaid

log = logging.getLogger("mrse.service")

#: Seconds between two looks at the file.
LOOK_EVERY_S = 0.25
#: Hundreds of experiments have room.
_MOST_BYTES = 64 * 1024
_Stamp = tuple[int, ...] | None


class LiveError(MrseError, ValueError):
    """The file, or a change of it, cannot be used; ``field`` says what."""

    def __init__(self, message: str, field: str = "experiments") -> None:
        super().__init__(message)
        self.field = field


class LiveExperiments:
    """Makes the experiments of the settings and of the file.

    Args:
        path: the file, which need not be there; None: there is none.
        unknown: as for `ExperimentBook`.
        count: told ``read``, or ``failed`` where all or a part of a changed file cannot be used.

    Raises:
        StartError: the file cannot be used.
    """

    def __init__(
        self, path: Path | None, unknown: Callable[[str], None], count: Callable[[str], None] = lambda _: None
    ) -> None:
        self.path = path
        self._unknown = unknown
        self._count = count
        self._seen = self._stamp()
        try:
            self._live = Live() if path is None else read_live(path)
        except LiveError as error:
            raise StartError(str(error)) from error

    @property
    def live(self) -> Live:
        """What the file said when it was read last."""
        return self._live

    def book(
        self, settings: Settings, like: ExperimentBook | None = None, without: Collection[str] = ()
    ) -> ExperimentBook:
        """The experiments as they are now.

        Args:
            settings: whose experiments.
            like: a book of the same settings, which spares work.
            without: experiments of which the file changes nothing.

        Raises:
            StartError: arms of two experiments do not go together; never where ``like`` is given.
        """
        kept = {name: part for name, part in self._live.experiments.items() if name not in without}
        live = self._live.model_copy(update={"experiments": kept})
        experiments, plan, problems = overlaid(settings.experiments, settings.assignment, live)
        if problems:
            self._count("failed")
            log.error("%s: not used: %s", self.path, "; ".join(problems))
        options = None if like is None else like.options
        return ExperimentBook(experiments, settings.recall, self._unknown, plan, options)

    def look(self) -> bool:
        """Read the file again where it changed; whether there is something new.

        In the event loop, since it takes some ten microseconds, and threads may all be taken when somebody
        needs the switch.
        """
        if self.path is None or (stamp := self._stamp()) == self._seen:
            return False
        self._seen = stamp
        try:
            live = read_live(self.path)
        except LiveError as error:
            self._count("failed")
            log.error("the experiments stay as they were: %s", error)
            return False
        self._count("read")
        changed, self._live = live != self._live, live
        return changed

    async def follow(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` when there is something new, for as long as the service runs."""
        while self.path is not None:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                if self.look():
                    changed()
            except Exception:  # else a switch that is thrown later would do nothing
                self._count("failed")
                log.exception("the experiments stay as they were")

    async def change(self, settings: Settings, change: Live) -> None:
        """Write a change into the file; what it does not name stays. It is on disk when this returns.

        Raises:
            LiveError: it names what there is none of, or the file is damaged.
            OSError: the disk.
        """
        path = self.path
        if path is None:
            raise LiveError("no file of experiments is set")
        problems = overlaid(settings.experiments, settings.assignment, change)[2]
        if problems:
            field, _, reason = problems[0].partition(": ")
            raise LiveError(reason, field)

        def write() -> None:
            with locked(path):
                whole = combined(read_live(path), change)
                problems = overlaid(settings.experiments, settings.assignment, whole)[2]
                for field, _, reason in (problem.partition(": ") for problem in problems):
                    if field.split(".")[1] in change.experiments:
                        raise LiveError(reason, field)
                with replacing(path, durable=True) as written:
                    content = whole.model_dump(mode="json", exclude_none=True)
                    written.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")

        await asyncio.to_thread(write)

    def _stamp(self) -> _Stamp:
        """What changes when the file does."""
        return None if self.path is None else file_stamp(self.path) or (0,)


def read_live(path: Path) -> Live:
    """What a file says; nothing where there is none.

    Raises:
        LiveError: it cannot be used.
    """
    try:
        return Live.model_validate_json(read_bounded(path, _MOST_BYTES))
    except FileNotFoundError:
        return Live()
    except OSError as error:
        raise LiveError(f"{path}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise LiveError(f"{path}: {where}{': ' if where else ''}{first['msg']}") from error


def combined(live: Live, change: Live) -> Live:
    """What holds after a change."""
    experiments = dict(live.experiments)
    for name, part in change.experiments.items():
        before = experiments.get(name, LivePart())
        given = {key: value for key in ("on", "ramp") if (value := getattr(part, key)) is not None}
        if part.weights is not None:
            given["weights"] = {**(before.weights or {}), **part.weights}
        experiments[name] = before.model_copy(update=given)
    holdout = live.holdout if change.holdout is None else change.holdout
    return Live(holdout=holdout, experiments=experiments)
