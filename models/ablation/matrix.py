"""The matrix: the full model, and every cell that differs from it in one thing.

The paper asks for three experiments (LMoE against one transformer, without history, one loss instead of
both), three checks (each part off, another shop, alpha/beta and hard-negative thresholds swept) and leaves
open the history's depth, the hard-to-easy ratio, and growth of catalogue and dimension. Another shop is this
command over it. The points of the sweeps are *inferred*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from common.errors import MrseError
from models.synthetic.queries import picture_only_share
from models.towers.config import Config
from models.towers.experts import EXPERTS


class MatrixError(MrseError, ValueError):
    """The matrix has no such group."""


#: The cell that every other one is measured against.
FULL = "full"


@dataclass(frozen=True)
class Cell:
    """One configuration of the matrix.

    ``overrides`` are dotted config keys; ``part`` is the share of the catalogue that it trains on and is
    measured on; ``dials`` are turned of the synthetic shop that it does so on; ``x`` is its place in a sweep.
    ``against`` names the cell over the same shop that is measured against it, None for none.
    """

    name: str
    group: str
    overrides: dict[str, Any] = field(default_factory=dict)
    part: float = 1.0
    x: float | None = None
    dials: Mapping[str, float] = field(default_factory=dict)
    against: str | None = FULL

    def config(self, base: Config, seed: int) -> Config:
        """The configuration of one of its runs.

        Raises:
            ConfigError: an override does not fit.
        """
        return base.with_overrides({**self.overrides, "seed": seed})


@dataclass(frozen=True)
class Sweep:
    """A value that is varied around the full model's own: to ``values``, or to these multiples of it.

    ``also`` is changed with it in every cell.
    """

    group: str
    key: str
    label: str
    values: tuple[float, ...]
    multiples: bool = False
    also: dict[str, Any] = field(default_factory=dict)

    def points(self, usual: float) -> list[float]:
        """The values to train with, but for the usual one."""
        found = [max(1, round(usual * value)) if self.multiples else value for value in self.values]
        return [value for value in dict.fromkeys(found) if value != usual]


SWEEPS: tuple[Sweep, ...] = (
    # A share of the gradient would set beta anew.
    Sweep(
        "beta",
        "loss.beta",
        "fixed beta (alpha is 1)",
        (0.2, 1.0, 2.0, 5.0, 10.0, 20.0),
        also={"loss.hard_share": 0.0},
    ),
    Sweep("dose", "loss.hard_share", "HNST's share of the gradient", (0.1, 0.2, 0.3, 0.5)),
    Sweep("hard", "loss.hard_negatives", "hard negatives a positive", (1, 2, 4, 8)),
    Sweep("easy", "loss.uniform_share", "uniform negatives over the batch", (0.0, 0.5, 1.0, 2.0)),
    Sweep("threshold", "loss.low_relevance", "label that is still a hard negative", (0.1, 0.34, 0.45)),
    Sweep("history depth", "dimensions.history", "behaviours of a portrait", (0.25, 0.5, 1.0, 2.5), True),
    Sweep("dimension", "dimensions.embedding_dim", "dimensions of the embedding", (0.25, 0.5, 1, 2), True),
)


@dataclass(frozen=True)
class ShopSweep:
    """A dial of the synthetic shop: at each value the full model and a cell that lacks what the dial acts on.

    So it draws how the part's worth depends on the shop. ``usual`` is the shop's own value, ``slice`` where
    the difference is drawn.
    """

    group: str
    dial: str
    label: str
    values: tuple[float, ...]
    usual: float
    without: str
    slice: str

    def cells(self) -> list[Cell]:
        """The cells of all values but the usual one."""
        found = []
        for value in self.values:
            name, dials = f"{self.group} {value:g}", {self.dial: value}
            found.append(Cell(name, self.group, x=value, dials=dials, against=None))
            lacking = f"{name}, {self.without}"
            change = _parts()[self.without]
            found.append(Cell(lacking, self.group, change, x=value, dials=dials, against=name))
        return found


#: They draw shops anew, so they run where they are named.
SHOP_SWEEPS: tuple[ShopSweep, ...] = (
    ShopSweep("taste", "taste", "times the shop's taste", (0.0, 0.5, 1.5), 1.0, "no history", "all"),
    ShopSweep(
        "picture only",
        "picture_only",
        "share of typed queries for what only pictures show",
        (0.05, 0.2, 0.6),
        picture_only_share(),
        "no picture",
        "all",
    ),
)
#: Shares of the catalogue.
GROWTH: tuple[float, ...] = (0.25, 0.5)
#: The cells that the paper's main claims are read from, whatever group each is of.
PROOF = "proof"
_PROOF = frozenset({"text only", "no history", "single transformer", "mnsce only", "hnst only"})
GROUPS: tuple[str, ...] = (
    FULL, PROOF, "parts", "experts", "loss", *(s.group for s in SWEEPS), "ranks", "growth",
    *(s.group for s in SHOP_SWEEPS),
)  # fmt: skip

_LOSSES: dict[str, dict[str, Any]] = {
    "mnsce only": {"loss.beta": 0.0},
    "false negatives guided": {"loss.false_negatives": "guide"},
    # Without MNSCE nothing would train until HNST joins.
    "hnst only": {"loss.alpha": 0.0, "loss.beta": 1.0, "loss.hard_after": 0.0, "loss.hard_share": 0.0},
}
#: Ranks that hard negatives are mined from, beside the usual ones.
_RANKS: tuple[tuple[int, int], ...] = ((1, 100), (11, 100), (101, 500), (501, 1000))


def _parts() -> dict[str, dict[str, Any]]:
    """Cells that lack one part of the model, or all but the text."""
    return {
        "text only": {"switches.picture": False, "switches.history": False, "switches.coclick": False},
        "no history": {"switches.history": False},
        "no picture": {"switches.picture": False},
        **{f"no {name}": {f"switches.{name}": False} for name in EXPERTS},
        "no gate": {"switches.gate": False},
        "no co-clicks": {"switches.coclick": False},
    }


def cells(base: Config, groups: Sequence[str] | None = None) -> list[Cell]:
    """The cells of the groups, or of all; the full model always comes first.

    Args:
        base: the full model's configuration.
        groups: of `GROUPS`, or cells by their names; where left out all but those of `SHOP_SWEEPS`.

    Raises:
        MatrixError: there is no such group, and no such cell.
    """
    wanted = set(groups or GROUPS) - (set() if groups else {sweep.group for sweep in SHOP_SWEEPS})
    found = [Cell(FULL, FULL)]
    found += [Cell(name, "parts", change) for name, change in _parts().items()]
    found.append(Cell("single transformer", "experts", {"experts.kind": "single"}))
    found += [Cell(name, "loss", change) for name, change in _LOSSES.items()]
    for sweep in SWEEPS:
        for value in sweep.points(config_value(base, sweep.key)):
            change = {sweep.key: value, **sweep.also}
            found.append(Cell(f"{sweep.group} {value:g}", sweep.group, change, x=value))
    for first, last in _RANKS:
        if (first, last) == base.loss.hard_ranks:
            continue
        found.append(Cell(f"ranks {first}-{last}", "ranks", {"loss.hard_ranks": [first, last]}))
    found += [Cell(f"growth {part:.0%}", "growth", part=part, x=part) for part in GROWTH]
    found += [cell for sweep in SHOP_SWEEPS for cell in sweep.cells()]
    named = {FULL, *(sweep.without for sweep in SHOP_SWEEPS if sweep.group in wanted)}
    named |= _PROOF if PROOF in wanted else set()
    if unknown := sorted(wanted - set(GROUPS) - {cell.name for cell in found}):
        raise MatrixError(f"no group and no cell {unknown[0]!r} in the matrix; choose of {', '.join(GROUPS)}")
    named |= wanted
    return [cell for cell in found if cell.group in wanted or cell.name in named]


def config_value(config: Config, key: str) -> float:
    """A number of the configuration by its dotted key."""
    return float(attrgetter(key)(config))


@dataclass(frozen=True)
class Claim:
    """A direction of the paper: the full model against a cell, on a slice, by a measure.

    It holds where the interval of the difference lies above ``more`` (of the other's figure where
    ``relative``), or, with ``no_loss``, where it does not lie wholly below 0.
    """

    says: str
    cell: str
    slice: str
    measure: str
    relative: bool = False
    more: float = 0.0
    no_loss: bool = False


_CLAIMS: tuple[Claim, ...] = (
    Claim("all parts over text only, by 18.9% or more", "text only", "all", "Rele@100_p", True, 0.189),
    Claim("the same, of typed queries alone", "text only", "text", "Rele@100_p", True, 0.189),
    Claim("by 40% or more on what only pictures show", "text only", "picture only", "Rele@100_p", True, 0.4),
    Claim("LMoE over one transformer of equal size", "single transformer", "all", "Recall@500"),
    Claim("LMoE over one transformer, relevance", "single transformer", "all", "Rele@100_p"),
    Claim("both losses over MNSCE alone", "mnsce only", "all", "Recall@100"),
    Claim("both losses over MNSCE alone, relevance", "mnsce only", "all", "Rele@100_p"),
    Claim("both losses over HNST alone", "hnst only", "all", "Recall@100"),
    Claim("history over none, users with a taste", "no history", "taste", "Recall@100"),
    Claim("history over none, what suits users with a taste", "no history", "taste", "Taste@10"),
    Claim("history over none, relevance by traffic", "no history", "all", "Rele@100_p_w"),
    Claim("no loss by history for users without one", "no history", "cold users", "Recall@100", no_loss=True),
)  # fmt: skip


def claims() -> list[Claim]:
    """All claims: those of the paper, and that every part earns its place."""
    parts = {f"no {name}": f"{expert.title} earns its place" for name, expert in EXPERTS.items()}
    parts |= {"no gate": "the gate earns its place", "no co-clicks": "co-clicks earn their place"}
    return [*_CLAIMS, *(Claim(says, cell, "all", "Recall@100") for cell, says in parts.items())]
