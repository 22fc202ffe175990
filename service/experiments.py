"""Experiments: which arm of each a request gets, and what the arm changes.

The ``X-Experiment`` header decides (``towers=treatment,merge=rrf``), for callers who may; without it a hash
of the unit (the user, else the session), salted by the experiment's name, decides by weight, so a user keeps
the arm and experiments are independent. Who takes part at all is drawn by hashes of other salts: that of the
holdout, and that of the experiment's layer, in which each unit has one place.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from common.lru import Lru
from service.options import Options
from service.recall.settings import Recall
from service.settings import Arm, AssignmentSettings, Experiments
from service.settings.assigning import Part

#: The experiment that chooses bundle and index; without settings it has this one arm.
TOWERS, CONTROL = "towers", "control"
#: Shown as an experiment where some units take part in none: ``in`` it or ``out`` of it.
HOLDOUT = "holdout"
_MAX_HEADER_PAIRS = 16
#: Combinations of drawn arms that are kept, of a kilobyte each.
_KNOWN = 512
_UNSAFE = re.compile(r"[^A-Za-z0-9_.=-]")
_PLACES = 2.0**64
UnitKind = Literal["user", "session", "query", "request"]


class Unit(NamedTuple):
    """What keeps its arms: what kind of thing it is, and what is hashed."""

    kind: UnitKind
    value: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one request got, and all that got the same share; nobody changes it.

    Attributes:
        arms: experiment to arm, in the order of the settings, of those in which it takes part.
        recall: the options, as the arms change them.
        towers: the arm of `TOWERS` that answers, also where the request does not take part in it.
        ignored: names from the header that do not exist or are not the caller's to choose, made safe for a
            header, and arms that changed nothing because they do not go together with others.
        forced: experiments whose arm the header chose, so that no draw did.
        shares: experiment to the share of its units that this arm is to get.
    """

    arms: dict[str, str]
    recall: Recall
    towers: str
    ignored: tuple[str, ...] = ()
    forced: tuple[str, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)
    #: Value of ``X-Experiment-Applied``.
    header: str = field(init=False)

    def __post_init__(self) -> None:
        applied = ",".join([f"{name}={arm}" for name, arm in self.arms.items()])
        header = f'{applied}; ignored="{",".join(self.ignored)}"' if self.ignored else applied
        object.__setattr__(self, "header", header)


class _Experiment:
    def __init__(self, name: str, arms: dict[str, Arm], part: Part) -> None:
        self.arms = arms
        self.part = part
        self._salted = _salted((part.salt or name).encode())
        total = sum(arm.weight for arm in arms.values())
        self.shares = {name: arm.weight / total for name, arm in arms.items() if arm.weight > 0}
        self._drawn = list(self.shares)
        #: Upper ends of the shares of [0, 1) that the arms have, but of the last, which ends at 1.
        self._bounds = list(itertools.accumulate(self.shares.values()))[:-1]
        start, end = part.slot
        #: Places of the layer whose units take part.
        self.start, self.end = start, start + (end - start) * part.ramp if part.on else start

    def draw(self, text: bytes) -> str:
        """The arm of a unit, by the unit's place in [0, 1)."""
        if not self._bounds:
            return self._drawn[0]
        return self._drawn[bisect.bisect_right(self._bounds, _place(text, self._salted))]


class ExperimentBook:
    """The experiments that are running.

    Args:
        experiments: from the settings.
        recall: the options that arms change.
        unknown: told ``experiment`` or ``variant`` (an arm) for each unknown name in a header, and
            ``forbidden`` for an arm that the caller may not choose.
        plan: who takes part.
        options: of the same arms and options, where they are known to go together.

    Raises:
        StartError: arms of two experiments do not go together.
    """

    def __init__(
        self,
        experiments: Experiments,
        recall: Recall,
        unknown: Callable[[str], None] = lambda kind: None,
        plan: AssignmentSettings | None = None,
        options: Options | None = None,
    ) -> None:
        plan = plan or AssignmentSettings()
        arms = {TOWERS: {CONTROL: Arm()}} | experiments
        self._experiments = {name: _Experiment(name, its, plan.part(name)) for name, its in arms.items()}
        self._unknown = unknown
        self._holdout = plan.holdout
        self._holdout_salted = _salted(f"holdout:{plan.holdout_salt}".encode())
        #: Those that a holdout leaves out, which are those that somebody set up.
        self._set_up = experiments.keys()
        partial = {name for name in arms if self._holdout or not plan.part(name).everybody}
        self._layers = {
            name: _layer_salt(name, plan) for name in experiments if not plan.part(name).everybody
        }
        self.options = Options(recall, arms, partial & self._set_up) if options is None else options
        self._whole = not self._layers and not self._holdout
        #: What answers who takes no part in `TOWERS`.
        self._tower = CONTROL if CONTROL in self.towers else next(iter(self.towers))
        self._shares = {name: its.shares for name, its in self._experiments.items()}
        if self._holdout:
            self._shares[HOLDOUT] = {"out": 1 - self._holdout, "in": self._holdout}
        self._known: Lru[tuple[tuple[str, str], ...], Assignment] = Lru(_KNOWN)

    @property
    def towers(self) -> dict[str, Arm]:
        """The arms of ``towers``."""
        return self._experiments[TOWERS].arms

    def carrying(self) -> set[str]:
        """The arms of ``towers`` that get traffic without a header."""
        experiment = self._experiments[TOWERS]
        drawn = set(experiment.shares) if experiment.end > experiment.start else set()
        left_out = TOWERS in self._layers or (self._holdout and TOWERS in self._set_up)
        return drawn | ({self._tower} if left_out else set())

    def open_towers(self) -> set[str]:
        """The arms of ``towers`` that any caller can meet: by weight, or by the header."""
        return self.carrying() | {name for name, arm in self.towers.items() if arm.forced}

    def describe(self) -> dict[str, dict[str, float]]:
        """Experiments with the weights of their arms; a holdout is told as one."""
        told = {
            name: {arm: settings.weight for arm, settings in experiment.arms.items()}
            for name, experiment in self._experiments.items()
        }
        return told | ({HOLDOUT: self._shares[HOLDOUT]} if self._holdout else {})

    def details(self) -> dict[str, Any]:
        """All that decides who gets which arm, in plain values."""
        return {
            "holdout": self._holdout,
            "experiments": {
                name: {
                    **its.part.model_dump(mode="json", exclude={"salt"}),
                    "weights": {arm: settings.weight for arm, settings in its.arms.items()},
                }
                for name, its in self._experiments.items()
            },
        }

    def assign(self, unit: str, header: str | None, *, any_arm: bool = False) -> Assignment:
        """The arms for a unit and a header.

        The header chooses among the arms that are ``forced`` in the settings, or with ``any_arm`` among all,
        whoever takes part otherwise.
        """
        forced: dict[str, str] = {}
        ignored: list[str] = []
        for pair in header.split(",")[:_MAX_HEADER_PAIRS] if header else ():
            if not pair.strip():
                continue
            name, arm = (side.strip() for side in pair.partition("=")[::2])
            experiment = self._experiments.get(name)
            its = None if experiment is None else experiment.arms.get(arm)
            if its is None or not (any_arm or its.forced):
                kind = "experiment" if experiment is None else "variant" if its is None else "forbidden"
                self._unknown(kind)
                ignored.append(_UNSAFE.sub("_", f"{name}={arm}" if arm else name)[:64])
            else:
                forced[name] = arm
        text = unit.encode("utf-8", "surrogatepass")
        if self._whole:
            arms = {name: forced.get(name) or each.draw(text) for name, each in self._experiments.items()}
        else:
            arms = self._drawn(text, forced)
        if not header:
            key = tuple(arms.items())
            known = self._known.get(key)
            if known is None:
                known = self._made(arms, (), ())
                self._known.put(key, known)
            return known
        return self._made(arms, tuple(ignored), tuple(forced))

    def _made(self, arms: dict[str, str], ignored: tuple[str, ...], forced: tuple[str, ...]) -> Assignment:
        options, left_out = self.options.of(arms)
        shares = {name: self._shares[name].get(arm, 0.0) for name, arm in arms.items()}
        tower = arms.get(TOWERS, self._tower)
        return Assignment(arms, options, tower, (*ignored, *left_out), forced, shares)

    def _drawn(self, text: bytes, forced: dict[str, str]) -> dict[str, str]:
        """The arms of the experiments in which a unit takes part, with whether it is held out of them."""
        held = self._holdout > 0 and _place(text, self._holdout_salted) < self._holdout
        places: dict[bytes, float] = {}
        arms: dict[str, str] = {}
        for name, experiment in self._experiments.items():
            if name in forced:
                arms[name] = forced[name]
                continue
            if held and name in self._set_up:
                continue
            salt = self._layers.get(name)
            if salt is not None:
                place = places.get(salt)
                if place is None:
                    place = places[salt] = _place(text, _salted(salt))
                if not experiment.start <= place < experiment.end:
                    continue
            arms[name] = experiment.draw(text)
        if self._holdout:
            arms[HOLDOUT] = "in" if held else "out"
        return arms


def _layer_salt(experiment: str, plan: AssignmentSettings) -> bytes:
    """Gives the places of an experiment's layer; no name has a colon, so it is no salt of arms."""
    layer = plan.part(experiment).layer
    if layer is None:
        return f"alone:{experiment}".encode()
    return f"layer:{plan.layers[layer].salt or layer}".encode()


@lru_cache(maxsize=1024)
def _salted(salt: bytes) -> hashlib.blake2b:
    """A hash that nothing was put to yet but its salt."""
    return hashlib.blake2b(key=salt, digest_size=8)


def _place(text: bytes, salted: hashlib.blake2b) -> float:
    """A unit's place in [0, 1), by the hash of a salt, which stays as it is."""
    hashed = salted.copy()
    hashed.update(text)
    return int.from_bytes(hashed.digest(), "big") / _PLACES
