"""Experiments: which variant of each a request gets, and what the variant changes.

The ``X-Experiment`` header decides (``towers=treatment,merge=rrf``); without it a hash of the user, salted
by the experiment's name, decides by weight, so a user keeps the variant and experiments are independent.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pydantic import ValidationError

from service.errors import StartError
from service.settings import Experiments, Recall, Variant

#: The experiment that chooses bundle and index; without settings it has this one arm.
TOWERS, CONTROL = "towers", "control"
_MAX_HEADER_PAIRS = 16
_UNSAFE = re.compile(r"[^A-Za-z0-9_.=-]")


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one request got: experiment to variant, in the order of the settings."""

    variants: dict[str, str]
    recall: Recall
    #: Names from the header that do not exist, made safe for a header.
    ignored: tuple[str, ...] = ()

    @property
    def towers(self) -> str:
        """The arm that says which bundle and index answer."""
        return self.variants[TOWERS]

    def header(self) -> str:
        """Value of ``X-Experiment-Applied``."""
        applied = ",".join(f"{name}={variant}" for name, variant in self.variants.items())
        return f'{applied}; ignored="{",".join(self.ignored)}"' if self.ignored else applied


@dataclass(frozen=True, slots=True)
class _Experiment:
    name: str
    variants: dict[str, Variant]
    #: Upper ends of the variants' shares of [0, 1), ascending.
    bounds: tuple[tuple[float, str], ...] = field(default=())

    @classmethod
    def of(cls, name: str, variants: dict[str, Variant]) -> _Experiment:
        total = sum(variant.weight for variant in variants.values())
        bounds, reached = [], 0.0
        for arm, variant in variants.items():
            if variant.weight > 0:
                reached += variant.weight / total
                bounds.append((reached, arm))
        return cls(name, variants, tuple(bounds))

    def draw(self, unit: str) -> str:
        if len(self.bounds) > 1:
            place = _hash(self.name, unit)
            for bound, arm in self.bounds[:-1]:
                if place < bound:
                    return arm
        return self.bounds[-1][1]


class ExperimentBook:
    """The experiments that are running.

    Args:
        experiments: from the settings.
        recall: the options that variants change.
        unknown: told ``experiment`` or ``variant`` for each unknown name in a header.

    Raises:
        StartError: variants of two experiments do not go together.
    """

    def __init__(
        self, experiments: Experiments, recall: Recall, unknown: Callable[[str], None] = lambda kind: None
    ) -> None:
        arms = {TOWERS: {CONTROL: Variant()}} | experiments
        self._experiments = {name: _Experiment.of(name, variants) for name, variants in arms.items()}
        self._recall = recall
        self._unknown = unknown
        self._combined = self._combine()

    @property
    def arms(self) -> dict[str, Variant]:
        """The arms of ``towers``."""
        return self._experiments[TOWERS].variants

    def describe(self) -> dict[str, dict[str, float]]:
        """Experiments with the weights of their variants."""
        return {
            name: {arm: variant.weight for arm, variant in experiment.variants.items()}
            for name, experiment in self._experiments.items()
        }

    def assign(self, unit: str, header: str | None) -> Assignment:
        """The variants for a unit (the user, or the request where there is none) and a header."""
        forced: dict[str, str] = {}
        ignored: list[str] = []
        for name, variant in _pairs(header):
            experiment = self._experiments.get(name)
            if experiment is None or variant not in experiment.variants:
                self._unknown("experiment" if experiment is None else "variant")
                ignored.append(_UNSAFE.sub("_", f"{name}={variant}" if variant else name)[:64])
            else:
                forced[name] = variant
        variants = {
            name: forced.get(name) or experiment.draw(unit) for name, experiment in self._experiments.items()
        }
        return Assignment(variants, self._combined[tuple(variants.values())], tuple(ignored))

    def _combine(self) -> dict[tuple[str, ...], Recall]:
        """Options for every combination of variants, so that a clash is found at start, not by a request."""
        combined = {}
        for key in itertools.product(*(e.variants for e in self._experiments.values())):
            changes: dict[str, object] = {}
            for experiment, arm in zip(self._experiments.values(), key, strict=True):
                changes |= experiment.variants[arm].recall
            try:
                combined[key] = Recall.model_validate(self._recall.model_dump() | changes)
            except ValidationError as error:
                raise StartError(f"experiments {', '.join(key)} do not go together: {error}") from error
        return combined


def _pairs(header: str | None) -> Iterator[tuple[str, str]]:
    for part in (header or "").split(",")[:_MAX_HEADER_PAIRS]:
        if part.strip():
            name, _, variant = part.partition("=")
            yield name.strip(), variant.strip()


def _hash(salt: str, unit: str) -> float:
    """A stable place in [0, 1)."""
    digest = hashlib.blake2b(unit.encode("utf-8", "surrogatepass"), key=salt.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
