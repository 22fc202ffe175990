"""Experiments: which arm of each a request gets, and what the arm changes.

The ``X-Experiment`` header decides (``towers=treatment,merge=rrf``), for callers who may; without it a hash
of the user, salted by the experiment's name, decides by weight, so a user keeps the arm and experiments are
independent.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass

from service.options import Options
from service.recall.settings import Recall
from service.settings import Arm, Experiments

#: The experiment that chooses bundle and index; without settings it has this one arm.
TOWERS, CONTROL = "towers", "control"
_MAX_HEADER_PAIRS = 16
_UNSAFE = re.compile(r"[^A-Za-z0-9_.=-]")


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one request got: experiment to arm, in the order of the settings."""

    arms: dict[str, str]
    recall: Recall
    #: Names from the header that do not exist or are not the caller's to choose, made safe for a header, and
    #: arms that changed nothing because they do not go together with others.
    ignored: tuple[str, ...] = ()

    @property
    def towers(self) -> str:
        """The arm that says which bundle and index answer."""
        return self.arms[TOWERS]

    def header(self) -> str:
        """Value of ``X-Experiment-Applied``."""
        applied = ",".join(f"{name}={arm}" for name, arm in self.arms.items())
        return f'{applied}; ignored="{",".join(self.ignored)}"' if self.ignored else applied


class _Experiment:
    def __init__(self, name: str, arms: dict[str, Arm]) -> None:
        self.arms = arms
        self._salt = name.encode()
        total = sum(arm.weight for arm in arms.values())
        self._drawn = [name for name, arm in arms.items() if arm.weight > 0]
        #: Upper ends of the shares of [0, 1) that the arms have, but of the last, which ends at 1.
        self._bounds = list(itertools.accumulate(arms[name].weight / total for name in self._drawn))[:-1]

    def draw(self, unit: str) -> str:
        """The arm of a unit, by the unit's place in [0, 1)."""
        if not self._bounds:
            return self._drawn[0]
        text = unit.encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(text, key=self._salt, digest_size=8).digest()
        return self._drawn[bisect.bisect_right(self._bounds, int.from_bytes(digest, "big") / 2**64)]


class ExperimentBook:
    """The experiments that are running.

    Args:
        experiments: from the settings.
        recall: the options that arms change.
        unknown: told ``experiment`` or ``variant`` (an arm) for each unknown name in a header, and
            ``forbidden`` for an arm that the caller may not choose.

    Raises:
        StartError: arms of two experiments do not go together.
    """

    def __init__(
        self, experiments: Experiments, recall: Recall, unknown: Callable[[str], None] = lambda kind: None
    ) -> None:
        arms = {TOWERS: {CONTROL: Arm()}} | experiments
        self._experiments = {name: _Experiment(name, its) for name, its in arms.items()}
        self._unknown = unknown
        self._options = Options(recall, arms)

    @property
    def towers(self) -> dict[str, Arm]:
        """The arms of ``towers``."""
        return self._experiments[TOWERS].arms

    def open_towers(self) -> set[str]:
        """The arms of ``towers`` that any caller can meet: by weight, or by the header."""
        return {name for name, arm in self.towers.items() if arm.weight > 0 or arm.forced}

    def describe(self) -> dict[str, dict[str, float]]:
        """Experiments with the weights of their arms."""
        return {
            name: {arm: settings.weight for arm, settings in experiment.arms.items()}
            for name, experiment in self._experiments.items()
        }

    def assign(self, unit: str, header: str | None, *, any_arm: bool = False) -> Assignment:
        """The arms for a unit (the user, or the request where there is none) and a header.

        The header chooses among the arms that are ``forced`` in the settings, or with ``any_arm`` among all.
        """
        forced: dict[str, str] = {}
        ignored: list[str] = []
        for pair in (header or "").split(",")[:_MAX_HEADER_PAIRS]:
            if not pair.strip():
                continue
            name, arm = (side.strip() for side in pair.partition("=")[::2])
            experiment = self._experiments.get(name)
            known = None if experiment is None else experiment.arms.get(arm)
            if known is None or not (any_arm or known.forced):
                kind = "experiment" if experiment is None else "variant" if known is None else "forbidden"
                self._unknown(kind)
                ignored.append(_UNSAFE.sub("_", f"{name}={arm}" if arm else name)[:64])
            else:
                forced[name] = arm
        arms = {
            name: forced.get(name) or experiment.draw(unit) for name, experiment in self._experiments.items()
        }
        options, left_out = self._options.of(arms)
        return Assignment(arms, options, (*ignored, *left_out))
