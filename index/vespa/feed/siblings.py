"""What other versions of a package got to know: a version that is fed later gets it too, but for vectors.

A service tells a change to the versions that it serves, and a new one is served when it is fed. So what was
changed or removed since its folder was written is in the ledgers of the others alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from index.vespa import names
from index.vespa.feed.ledger import Ledger
from index.vespa.feed.merged import Change, Merged
from index.vespa.feed.operations import AttributeValue, Operations
from index.vespa.version import Version

#: Items that are taken over at once.
_BATCH: Final = 500


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
