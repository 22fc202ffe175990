"""Sets the weights of an experiment in a configuration file; everything else in it stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError

from common.files import replacing
from service.settings.load import SettingsError, load_settings


def set_weights(config: Path, experiment: str, weights: Mapping[str, float]) -> None:
    """Rewrite ``config`` with new weights, comments and order kept, atomically.

    Args:
        config: the TOML file.
        experiment: its name.
        weights: arm to weight; arms that are not named keep theirs.

    Raises:
        SettingsError: no such experiment or arm, or the settings would not be valid; the file is as before.
    """
    try:
        document = tomlkit.parse(config.read_text(encoding="utf-8"))
    except (OSError, TOMLKitError, UnicodeDecodeError) as error:
        raise SettingsError(f"{config}: {error}") from error
    arms = document.get("experiments", {}).get(experiment)
    if arms is None:
        raise SettingsError(f"{config}: there is no experiment {experiment!r}")
    for arm, weight in weights.items():
        if arm not in arms:
            raise SettingsError(f"{config}: no arm {arm!r} in {experiment!r}; it has {', '.join(arms)}")
        arms[arm]["weight"] = weight
    with replacing(config) as written:
        written.write_text(tomlkit.dumps(document), encoding="utf-8")
        load_settings(written)
