"""Changes the arms of an experiment in a configuration file; everything else in it stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from service.settings.load import SettingsError
from service.settings.rewriting import rewrite


def set_weights(config: Path, experiment: str, weights: Mapping[str, float]) -> None:
    """Rewrite ``config`` with new weights, as `rewrite` does.

    Args:
        config: the TOML file.
        experiment: its name.
        weights: arm to weight; arms that are not named keep theirs.

    Raises:
        SettingsError: no such experiment or arm, or the settings would not be valid; the file is as before.
        OwnerError: others could read it then; the file is as before.
    """

    def change(document: Any) -> None:
        arms = _arms(config, document, experiment, weights)
        for arm, weight in weights.items():
            arms[arm]["weight"] = weight

    rewrite(config, change)


def remove_arms(config: Path, experiment: str, names: Sequence[str]) -> None:
    """Rewrite ``config`` without some arms of an experiment, as `rewrite` does; the last one stays.

    Raises:
        SettingsError, OwnerError: as `set_weights`.
    """

    def change(document: Any) -> None:
        arms = _arms(config, document, experiment, names)
        for arm in names:
            del arms[arm]

    rewrite(config, change)


def _arms(config: Path, document: Any, experiment: str, names: Iterable[str]) -> Any:
    arms = document.get("experiments", {}).get(experiment)
    if arms is None:
        raise SettingsError(f"{config}: there is no experiment {experiment!r}")
    for arm in names:
        if arm not in arms:
            raise SettingsError(f"{config}: no arm {arm!r} in {experiment!r}; it has {', '.join(arms)}")
    return arms
