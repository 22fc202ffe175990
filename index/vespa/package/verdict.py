"""What ``mrse vespa verify`` found of a version, kept beside the package: ``switch`` asks for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson

from common.files import replacing

#: Below the package folder.
FOLDER: Final = "verdicts"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether every check held, and of which folder: its version (see `ledger`)."""

    holds: bool
    as_of: int
    recall: float

    def write(self, package: Path, document_type: str) -> None:
        """Put it in place of the last one."""
        path = _path(package, document_type)
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as written:
            written.write_bytes(orjson.dumps(asdict(self)))

    @classmethod
    def read(cls, package: Path, document_type: str) -> Verdict | None:
        """The last one of a document type; None where there is none that can be read."""
        try:
            return cls(**orjson.loads(_path(package, document_type).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None


def _path(package: Path, document_type: str) -> Path:
    return package / FOLDER / f"{document_type}.json"
