"""What other versions of a package got to know: a version that is fed later gets it too, but for vectors.

A service tells a change to the versions that it serves, and a new one is served when it is fed. So what was
changed or removed since its folder was written is in the ledgers of the others alone: a feed takes it over.
What comes between a feed and the service's knowing the version is `missing`, until it is fed once more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from index.vespa import names
from index.vespa.feed.ledger import Ledger
from index.vespa.feed.merged import Change, Merged
from index.vespa.feed.operations import AttributeValue, Operations
from index.vespa.version import Version, read_versions

#: Items that are taken over at once.
_BATCH: Final = 500
#: Microseconds. A change that is younger may be on its way to the other versions.
_SETTLED: Final = 60_000_000


class Missing(NamedTuple):
    """Items that others know more of: by changes that a feed takes over, and by vectors, which it cannot."""

    changed: set[str]
    lacking: set[str]


@dataclass(slots=True)
class Sibling:
    """Another version of the package, and its ledger."""

    version: Version
    ledger: Ledger
    #: The number of the last change that was taken over.
    _upto: int = field(default=0, init=False, repr=False)

    def tell(self, version: Version, ledger: Ledger, as_of: int) -> set[str]:
        """Write what changed since ``as_of``, and was not told yet, to the ledger of another version.

        Returns:
            items that were put since, with vectors of this version's bundle: the other one has no use for
            these.
        """
        upto, changed = self.ledger.since(self._upto, as_of)
        ids, lacking = sorted(changed), set[str]()
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            known = ledger.newer(batch, as_of)
            told: list[Change] = []
            for item_id, state in self.ledger.newer(batch, as_of).items():
                told += self._changes(version, item_id, state, as_of)
                mine = known.get(item_id, Merged())
                if self._is_foreign(version, state, as_of) and mine.whole_ver <= as_of:
                    lacking.add(item_id)
            ledger.record(told)
        self._upto = upto
        return lacking

    def missing(self, version: Version, ledger: Ledger, now: int) -> Missing:
        """What `tell` would change of another version's ledger, and what it could not.

        Args:
            version: the other one.
            ledger: of that one.
            now: microseconds since 1970; changes of the last minute may be on their way and are left out.
        """
        as_of = ledger.as_of
        _, changed = self.ledger.since(0, as_of)
        ids, missing = sorted(changed), Missing(set(), set())
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            known = ledger.newer(batch, as_of)
            for item_id, state in self.ledger.newer(batch, as_of).items():
                mine = known.get(item_id, Merged())
                told = mine
                for change in self._changes(version, item_id, state, as_of):
                    if change.feed_ver <= now - _SETTLED:
                        told = told.with_change(change)
                if told.content != mine.content:
                    missing.changed.add(item_id)
                old = state.whole_ver <= now - _SETTLED
                if old and self._is_foreign(version, state, as_of) and mine.whole_ver <= as_of:
                    missing.lacking.add(item_id)
        return missing

    def _is_foreign(self, version: Version, state: Merged, as_of: int) -> bool:
        other = version.bundle_version != self.version.bundle_version
        return other and state.whole == "put" and state.whole_ver > as_of

    def _changes(self, version: Version, item_id: str, state: Merged, as_of: int) -> Iterator[Change]:
        """The changes of an item that can be made of another version too, each as it was."""
        operations = Operations(version).of_taken
        by_version: dict[int, dict[str, AttributeValue]] = defaultdict(dict)
        for name, (when, value) in state.attributes.items():
            kind = version.attributes.get(name)
            known = name == names.TEXTS or (kind is not None and kind == self.version.attributes.get(name))
            if when > as_of and known:
                by_version[when][name] = value
        changes: list[Change] = []
        if state.whole and state.whole_ver > as_of and not self._is_foreign(version, state, as_of):
            attributes = {name: value for name, (_, value) in state.attributes.items()}
            vector = None if state.whole == "remove" else state.vector
            put = {} if state.whole == "remove" else attributes
            changes.append(Change(state.whole, item_id, state.whole_ver, put, vector))
        changes += [
            Change("update", item_id, when, attributes) for when, attributes in sorted(by_version.items())
        ]
        for change in changes:
            try:
                change.operation(operations)
            except ValueError:
                continue  # such as texts, where all of them are not given
            yield change


@contextmanager
def siblings_in(package: Path, document_type: str) -> Iterator[Sequence[Sibling]]:
    """The other versions of a package that were ever fed or changed."""
    with ExitStack() as opened:
        yield [
            Sibling(each, opened.enter_context(Ledger.of(package, each.document_type)))
            for each in read_versions(package)
            if each.document_type != document_type and Ledger.is_in(package, each.document_type)
        ]


def missing_in(package: Path, version: Version, now: int) -> Missing:
    """As `Sibling.missing`, of all other versions of a package folder together."""
    found = Missing(set(), set())
    if Ledger.is_in(package, version.document_type):
        with (
            Ledger.of(package, version.document_type) as ledger,
            siblings_in(package, version.document_type) as siblings,
        ):
            for sibling in siblings:
                each = sibling.missing(version, ledger, now)
                found.changed.update(each.changed)
                found.lacking.update(each.lacking)
    return found
