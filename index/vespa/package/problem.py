"""What a rule finds in a package."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that Vespa would let pass; ``message`` says what was found and what was expected."""

    #: Short name of the rule, such as ``dimension``.
    code: str
    #: Path below the package.
    file: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.message} [{self.code}]"
