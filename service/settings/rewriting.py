"""Rewrites a service's configuration file: what is not changed stays as somebody wrote it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from common.files import inherit, replacing
from service.settings.load import SettingsError, load_settings


def rewrite(config: Path, change: Callable[[Any], None]) -> None:
    """Change a configuration file: comments and order are kept, and it is replaced whole or not at all.

    It is on disk when this returns, with the owner, group and mode that it had; where ``config`` is a link,
    the file that it leads to is replaced. Where nothing changes it is not written.

    Args:
        config: the TOML file.
        change: changes the document, a ``tomlkit.TOMLDocument``.

    Raises:
        SettingsError: it cannot be read, or the settings would not be valid; the file is as before.
        OwnerError: others could read it then; the file is as before.
    """
    try:
        text = config.read_text(encoding="utf-8")
        document = tomlkit.parse(text)
    except (OSError, TOMLKitError, UnicodeDecodeError) as error:
        raise SettingsError(f"{config}: {error}") from error
    change(document)
    changed = tomlkit.dumps(document)
    if changed == text:
        return
    whole = config.resolve()  # a link stays one
    with replacing(whole, durable=True) as written:
        inherit(written, whole)  # it may hold secrets
        written.write_text(changed, encoding="utf-8")
        load_settings(written)
