"""What `benchmarks.soak` tells of a run: how fast something grows, claims, a plot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.stats import theilslopes

from benchmarks.report import Claim

#: What is no failure; some requests are refused for what they ask, with a 4xx.
_EXPECTED = ("200", "given up", "write 200", "swaps", "rests")
#: The machine is too busy, which says nothing of how the service lasts; counted apart.
BUSY = "too busy"


def slope(seconds: np.ndarray, values: np.ndarray) -> tuple[float, float, float]:
    """Units an hour, and the bounds between which it is with 95% confidence (Theil and Sen)."""
    if len(values) < 3:
        return float("nan"), float("nan"), float("nan")
    found = theilslopes(values, seconds, alpha=0.95)
    return float(found[0]) * 3600, float(found[2]) * 3600, float(found[3]) * 3600


class Told:
    """What the rests after a fifth of the time tell.

    Args:
        rests: of each its seconds, resident megabytes, anonymous ones, descriptors, and the megabytes of the
            processes that decode pictures.
        minutes: of the run.
    """

    def __init__(self, rests: np.ndarray, minutes: float) -> None:
        seconds, self._resident, anonymous, held, pictures = rests[rests[:, 0] > minutes * 60 * 0.2].T
        self._grows, self._own = slope(seconds, self._resident), slope(seconds, anonymous)
        self._pictures = slope(seconds, pictures)
        self._descriptors = slope(seconds, held)[0]

    def growth(self) -> dict[str, dict[str, float]]:
        """Megabytes an hour, and between which they are with 95% confidence."""
        names = ("slope", "from", "to")
        return {
            "growth_mb_per_h": dict(zip(names, self._grows, strict=True)),
            "growth_of_anonymous_mb_per_h": dict(zip(names, self._own, strict=True)),
            "growth_of_picture_processes_mb_per_h": dict(zip(names, self._pictures, strict=True)),
        }

    def show(self) -> None:
        """Print it."""
        print(f"memory at rest: {self._resident.min():.1f} to {self._resident.max():.1f} MB")
        _, least, most = self._grows
        print(f"its growth: between {least:.2f} and {most:.2f} MB/h with 95% confidence")

    def claims(self, statuses: Mapping[str, int]) -> list[Claim]:
        """What is claimed; ``statuses`` count what came of the requests."""
        failed = sum(
            number
            for name, number in statuses.items()
            if name not in _EXPECTED and BUSY not in name and name[0] != "4"
        )
        return [
            Claim.at_most("growth of resident memory after warm-up", self._grows[0], 1.0, "MB/h"),
            Claim.at_most("growth of descriptors", self._descriptors, 1.0, "/h"),
            Claim.at_most("requests failed, but for a busy machine", failed, 0),
            Claim.at_least("writes", statuses.get("write 200", 0), 1),
        ]


def plot(points: np.ndarray, rests: np.ndarray, target: Path) -> None:
    """Memory and descriptors over time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (load, rest, below) = pyplot.subplots(3, 1, figsize=(9, 8), sharex=True, layout="constrained")
    load.plot(points[:, 0] / 60, points[:, 1])
    load.set_ylabel("under load, MB")
    rest.plot(rests[:, 0] / 60, rests[:, 1], "o-")
    rest.set_ylabel("resident at rest, MB")
    below.plot(rests[:, 0] / 60, rests[:, 3], "o-")
    below.set(ylabel="descriptors at rest", xlabel="minutes")
    figure.savefig(target, dpi=120)
