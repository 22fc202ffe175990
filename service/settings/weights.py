"""Changes the arms of an experiment in a configuration file; everything else in it stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from common.files import inherit, replacing
from service.settings.load import SettingsError, load_settings


def _rewrite(config: Path, experiment: str, names: Iterable[str], change: Callable[[Any], None]) -> None:
    """Rewrite ``config`` with the arms of an experiment changed, comments and order kept, atomically.

    Raises:
        SettingsError: no such experiment or arm, or the settings would not be valid; the file is as before.
        OwnerError: others could read it then; the file is as before.
    """
    try:
        document = tomlkit.parse(config.read_text(encoding="utf-8"))
    except (OSError, TOMLKitError, UnicodeDecodeError) as error:
        raise SettingsError(f"{config}: {error}") from error
    arms = document.get("experiments", {}).get(experiment)
    if arms is None:
        raise SettingsError(f"{config}: there is no experiment {experiment!r}")
    for arm in names:
        if arm not in arms:
            raise SettingsError(f"{config}: no arm {arm!r} in {experiment!r}; it has {', '.join(arms)}")
    change(arms)
    whole = config.resolve()  # a link stays one
    with replacing(whole) as written:
        inherit(written, whole)  # it may hold secrets
        written.write_text(tomlkit.dumps(document), encoding="utf-8")
        load_settings(written)


def set_weights(config: Path, experiment: str, weights: Mapping[str, float]) -> None:
    """Rewrite ``config`` with new weights, comments and order kept, atomically.

    Args:
        config: the TOML file.
        experiment: its name.
        weights: arm to weight; arms that are not named keep theirs.

    Raises:
        SettingsError: no such experiment or arm, or the settings would not be valid; the file is as before.
    """

    def change(arms: Any) -> None:
        for arm, weight in weights.items():
            arms[arm]["weight"] = weight

    _rewrite(config, experiment, weights, change)


def remove_arms(config: Path, experiment: str, names: Sequence[str]) -> None:
    """Rewrite ``config`` without some arms of an experiment, as `set_weights` does; the last one stays.

    Raises:
        SettingsError: as `set_weights`.
    """

    def change(arms: Any) -> None:
        for arm in names:
            del arms[arm]

    _rewrite(config, experiment, names, change)
