"""Reads the settings from a file, the environment and options; shows them with secrets hidden."""

from __future__ import annotations

import json
import logging
import os
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from common.errors import MrseError
from common.hints import meant
from common.masking import mask_url
from service.recall.routes import ROUTES
from service.recall.settings import composed_recall, merged
from service.settings.groups import Arm
from service.settings.secret_files import with_secrets
from service.settings.tree import Settings, composed

log = logging.getLogger("mrse.settings")

CONFIG_VARIABLE = "MRSE_CONFIG"
#: Likeness from which on a group's name is taken for a misspelt one.
_NEAR = 0.8


class SettingsError(MrseError, ValueError):
    """The settings cannot be used; the message names the key and where it came from."""


def load_settings(config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings.

    Args:
        config: the TOML file; without it ``MRSE_CONFIG``, and without that no file.
        overrides: nested groups from the command line, such as ``{"server": {"port": 9000}}``.

    Raises:
        SettingsError: no such file, not TOML, an unknown key, a wrong value, or a secret's file that
            cannot be used.
    """
    file = config_file(config)
    model = composed()

    def refused(path: tuple[str, ...], reason: str) -> SettingsError:
        variable = _variable(path)
        origin = variable if variable in os.environ else f"{file}: {'.'.join(path)}"
        return SettingsError(f"{origin}: {reason}")

    # Of each source by itself: a secret of the environment wins over a file that the TOML file names.
    written = {} if file is None else with_secrets(_read_toml(file), model, refused)
    environment = with_secrets(_environment(model.model_fields), model, refused)
    values = merged(merged(written, environment), overrides or {})
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(error, written, file)) from error


def config_file(config: Path | None = None) -> Path | None:
    """The TOML file: ``config``, or that which ``MRSE_CONFIG`` names; None where there is none."""
    return config or (Path(env) if (env := os.environ.get(CONFIG_VARIABLE)) else None)


def effective(settings: Settings) -> dict[str, Any]:
    """The settings as plain values, secrets hidden, for ``mrse serve --print-config``."""
    shown = settings.model_dump(mode="json")
    for group, key, url in (
        ("redis", "url", settings.redis.url),
        ("events", "redis_url", settings.events.redis_url),
        ("exposures", "redis_url", settings.exposures.redis_url),
    ):
        shown[group][key] = None if url is None else mask_url(url.get_secret_value())
    return shown


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: not TOML: {error}") from error


def _environment(groups: Collection[str]) -> dict[str, Any]:
    """The values of ``MRSE_<GROUP>_<KEY>`` and ``MRSE_RECALL_<ROUTE>_<KEY>``; empty ones do not count."""
    values: dict[str, Any] = {}
    for variable in sorted(os.environ):  # MRSE_REDIS, in JSON, comes before MRSE_REDIS_URL, which wins
        prefix, *path = variable.lower().split("_", 2)
        if prefix != "mrse" or not path or not os.environ[variable]:
            continue
        if path[0] not in groups:
            _warn_of_typo(variable, path, groups)
            continue
        if path[0] == "recall" and path[-1].partition("_")[0] in ROUTES:
            path = ["recall", *path[-1].split("_", 1)]
        value: Any = _plain(variable, os.environ[variable])
        for key in reversed(path):
            value = {key: value}
        values = merged(values, value)
    return values


def _warn_of_typo(variable: str, path: Sequence[str], groups: Collection[str]) -> None:
    """Say that a variable sets nothing, where its group is nearly one of ours; others may have their own."""
    near = get_close_matches(path[0], groups, n=1, cutoff=_NEAR)
    if len(path) > 1 and near:
        log.warning(
            "%s sets nothing: there is no group [%s]; did you mean %s?",
            variable, path[0], "_".join(("MRSE", near[0], path[1])).upper(),
        )  # fmt: skip


def _plain(variable: str, text: str) -> Any:
    """A variable's value: text, or JSON where it is a table or a list."""
    if text[0] not in "{[":
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise SettingsError(f"{variable}: not JSON: {error}") from error


def _explain(error: ValidationError, values: Mapping[str, Any], file: Path | None) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        key = ".".join(str(part) for part in problem["loc"])
        reason = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            reason = "there is no such key" + _meant(problem["loc"])
        lines.append(f"{_origin(problem['loc'], values, file)}{key}{': ' if key else ''}{reason}")
    return "\n".join(lines)


def _meant(path: tuple[int | str, ...]) -> str:
    """What may have been meant by an unknown key: one of its group, or of an arm's ``[recall]``."""
    *arm, key = path
    if len(arm) == 3 and arm[0] == "experiments" and key in composed_recall().model_fields:
        return f"; did you mean {'.'.join(map(str, arm))}.recall.{key}?"
    return meant(str(key), _keys(tuple(map(str, arm))))


def _keys(group: tuple[str, ...]) -> Collection[str]:
    """The keys of a group, or of a table in it; none where it is not known."""
    model: Any = composed()
    for place, name in enumerate(group):
        if group[0] == "experiments" and place == 2:
            model = Arm
            continue
        field = getattr(model, "model_fields", {}).get(name)
        model = None if field is None else field.annotation
    return getattr(model, "model_fields", {})


def _variable(path: Iterable[int | str]) -> str:
    return "MRSE_" + "_".join(map(str, path)).upper()


def _origin(path: tuple[int | str, ...], values: Any, file: Path | None) -> str:
    """The variable or the file that a value came from, as far as it can be told."""
    for length in range(len(path), 0, -1):
        variable = _variable(path[:length])
        for given in (variable, f"{variable}_FILE"):
            if os.environ.get(given):
                return f"{given}: "
    for part in path:
        if not isinstance(values, Mapping) or part not in values:
            return ""
        values = values[part]
    return f"{file}: " if path and file is not None else ""
