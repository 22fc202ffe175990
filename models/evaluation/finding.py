"""What a look at a bundle found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from models.evaluation.statistics import without_nan

#: Depth of the recall that probes compare, and bootstrap replicates of a difference.
K, RESAMPLES = 100, 500
Verdict = Literal["fine", "watch", "broken", "unknown"]


@dataclass(frozen=True)
class Finding:
    """One signature: its verdict, the figures behind it, a line that says so, and what to try (or "")."""

    signature: str
    verdict: Verdict
    says: str
    remedy: str = ""
    figures: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``; NaN becomes null."""
        return {**asdict(self), "figures": without_nan(self.figures)}
