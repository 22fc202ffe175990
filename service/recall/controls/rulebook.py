"""The rules as their file has them now, in every worker.

A look at the file costs two microseconds, so each request takes one where there is such a file: what one
worker wrote, or a person put there, is in every worker's next answer, unless reading it takes longer than a
request may wait for it. A file that cannot be used any more changes nothing: the rules stay as they were.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from common.files import file_stamp, locked
from service.errors import StartError
from service.recall.controls.rules import EVERY, Rule, RulesError, read_rules, write_rules

log = logging.getLogger("mrse.service")

_Stamp = tuple[int, ...] | None


class Ruling(NamedTuple):
    """What holds for one query. ``told`` says whether the query has a rule of its own."""

    pins: Sequence[str] = ()
    bans: frozenset[str] = frozenset()
    told: bool = False


#: Of a query without one.
NO_RULE = Ruling()


class RuleBook:
    """The rules of a file.

    Args:
        path: the file, which need not be there; None: there are no rules.
        count: told ``read`` or ``failed`` when a file that changed was read again.

    Raises:
        StartError: the file cannot be used.
    """

    def __init__(self, path: Path | None, count: Callable[[str], None] = lambda _: None) -> None:
        self.path = path
        self._count = count
        self._seen = self._stamp()
        self._reading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        try:
            self._rules: Mapping[str, Rule] = {} if path is None else read_rules(path)
        except RulesError as error:
            raise StartError(str(error)) from error
        self._everywhere = self._bans_everywhere()

    def __len__(self) -> int:
        return len(self._rules)

    async def current(self, patience_s: float | None = None) -> None:
        """Take what is new in the file.

        Args:
            patience_s: how long to wait for it; then the rules stay as they were for now, and the reading
                goes on. None: until it is read.
        """
        if self.path is None or self._stamp() == self._seen:
            return
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._read_again(), name="rules")
        await asyncio.wait([self._task], timeout=patience_s)
        if self._task.done():
            self._task.result()

    async def _read_again(self) -> None:
        async with self._reading:
            if (stamp := self._stamp()) != self._seen:
                self._take(stamp, await asyncio.to_thread(self._read))

    def ruling(self, text: str) -> Ruling:
        """What holds for a query in its normal form, by the rules as they were last read."""
        rule = self._rules.get(text) if text and text != EVERY else None
        if rule is None:
            return Ruling(bans=self._everywhere) if self._everywhere else NO_RULE
        pins = [item for item in rule.pins if item not in self._everywhere]
        return Ruling(pins, self._everywhere.union(rule.bans), told=True)

    async def rules(self) -> Mapping[str, Rule]:
        """All of them by their keys, as the file has them now."""
        await self.current()
        return self._rules

    async def change(self, put: Sequence[Rule], remove: Sequence[str]) -> int:
        """Put rules in place of those of the same queries, and remove those of some keys.

        They are on disk, and in every worker's next answer, when this returns. Nothing else in the file is
        changed, whoever changes it at the same time through the service.

        Returns:
            How many rules there are then.

        Raises:
            RulesError: there would be too many, or the file is damaged.
            OSError: the disk.
        """
        path = self.path
        if path is None:
            raise RulesError("no file of rules is set")

        def write() -> dict[str, Rule]:
            with locked(path):
                rules = read_rules(path)
                rules |= {rule.key: rule for rule in put}
                for key in remove:
                    rules.pop(key, None)
                write_rules(path, rules)
            return rules

        async with self._reading:
            written = await asyncio.to_thread(write)
            # Another may have written since: a stamp that is not of these rules is looked at once more.
            self._seen = None
            self._set(written)
        return len(written)

    def _read(self) -> dict[str, Rule] | RulesError:
        try:
            return read_rules(self.path) if self.path is not None else {}
        except RulesError as error:
            return error

    def _take(self, stamp: _Stamp, read: dict[str, Rule] | RulesError) -> None:
        self._seen = stamp
        if isinstance(read, RulesError):
            self._count("failed")
            log.error("the rules stay as they were: %s", read)
            return
        self._set(read)
        self._count("read")
        log.info("rules read again", extra={"rules": len(read)})

    def _set(self, rules: Mapping[str, Rule]) -> None:
        self._rules = rules
        self._everywhere = self._bans_everywhere()

    def _bans_everywhere(self) -> frozenset[str]:
        rule = self._rules.get(EVERY)
        return frozenset() if rule is None else frozenset(rule.bans)

    def _stamp(self) -> _Stamp:
        """What changes when the file does."""
        return None if self.path is None else file_stamp(self.path) or (0,)
