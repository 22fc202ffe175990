"""The arms ``control`` and ``canary`` of the experiment ``towers`` in a service's configuration file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from cli.release.plan import PlanError

TOWERS, CONTROL, CANARY = "towers", "control", "canary"


@dataclass(frozen=True)
class Side:
    """A bundle's folder and an index's, or the version's file of Vespa, as a configuration writes them."""

    bundle: str
    index: str


@dataclass(frozen=True)
class Configured:
    """What a configuration says of what serves.

    Attributes:
        engine: ``embedded``, ``vespa``, or another.
        control: what serves; None where nothing is named yet.
        canary: what a release that has not ended put beside it.
    """

    engine: str
    control: Side | None
    canary: Side | None


def read_towers(config: Path) -> Configured:
    """Read a configuration.

    Raises:
        SettingsError: it cannot be used.
        PlanError: the experiment has other arms, so that a release would be in its way.
    """
    from service.settings.load import load_settings

    settings = load_settings(config)
    arms = settings.experiments.get(TOWERS, {})
    if others := sorted(arms.keys() - {CONTROL, CANARY}):
        raise PlanError(
            f"{config}: experiments.{TOWERS} has the arm {others[0]}; a release has this experiment for "
            f"itself, with the arms {CONTROL} and {CANARY}: end the other one first"
        )

    def side(arm: str) -> Side | None:
        chosen = arms.get(arm)
        bundle = chosen.bundle if chosen and chosen.bundle else settings.bundle.path
        index = chosen.index if chosen and chosen.index else settings.index.path
        return None if bundle is None or index is None else Side(str(bundle), str(index))

    return Configured(settings.index.engine, side(CONTROL), side(CANARY) if CANARY in arms else None)


def write_towers(
    config: Path,
    control: Side,
    canary: Side | None = None,
    share: float = 0.0,
    salt: str | None = None,
    *,
    again: bool = False,
) -> None:
    """Rewrite the configuration's arms of ``towers``, as `rewrite` does.

    Args:
        config: the file.
        control: what serves.
        canary: what is beside it, with ``share`` of the traffic; None takes that arm out, and lets
            ``bundle.path`` and ``index.path``, where the file has them, name what serves.
        share: from 0 to 1.
        salt: draws who meets the canary, so that it is not the same users in every release.
        again: as `rewrite`.

    Raises:
        SettingsError: the settings would not be valid; the file is as before.
        OwnerError: others could read it then; the file is as before.
    """
    from service.settings.rewriting import rewrite

    def change(document: Any) -> None:
        arms = _table(document, "experiments", TOWERS, bare=True)
        _fill(arms, CONTROL, control, 1.0 if canary is None else round(1.0 - share, 6))
        if canary is not None:
            _fill(arms, CANARY, canary, share)
        else:
            if CANARY in arms:
                del arms[CANARY]
            for group, path in (("bundle", control.bundle), ("index", control.index)):
                if "path" in document.get(group, {}):
                    document[group]["path"] = path
        if salt is not None:
            _table(document, "assignment", "experiments", TOWERS)["salt"] = salt

    rewrite(config, change, again=again)


def _table(document: Any, *names: str, bare: bool = False) -> Any:
    """The table at a path, made where it is missing; those above it have no line, nor has a ``bare`` one."""
    found = document
    for place, name in enumerate(names):
        if name not in found:
            found[name] = tomlkit.table(is_super_table=bare or place < len(names) - 1)
        found = found[name]
    return found


def _fill(arms: Any, name: str, side: Side, weight: float) -> None:
    if name not in arms:
        arms[name] = tomlkit.table()
    arms[name]["weight"] = weight
    arms[name]["bundle"] = side.bundle
    arms[name]["index"] = side.index
