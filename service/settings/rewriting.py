"""Rewrites a service's configuration file: what is not changed stays as somebody wrote it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from common.files import inherit, locked, replacing
from service.settings.load import SettingsError, load_settings


def rewrite(config: Path, change: Callable[[Any], None], *, again: bool = False) -> None:
    """Change a configuration file: comments and order are kept, and it is replaced whole or not at all.

    It is on disk when this returns, with the owner, group and mode that it had; where ``config`` is a link,
    the file that it leads to is replaced. Where nothing changes it is not written. Commands that rewrite it
    at the same time wait for each other, so that none takes back what another has changed.

    Args:
        config: the TOML file.
        change: changes the document, a ``tomlkit.TOMLDocument``.
        again: write it also where nothing changes, so that a service which watches it reads it once more.

    Raises:
        SettingsError: it cannot be read, or the settings would not be valid; the file is as before.
        OwnerError: others could read it then; the file is as before.
    """
    with _alone(config) as whole:
        try:
            text = whole.read_text(encoding="utf-8")
            document = tomlkit.parse(text)
        except (OSError, TOMLKitError, UnicodeDecodeError) as error:
            raise SettingsError(f"{config}: {error}") from error
        change(document)
        changed = tomlkit.dumps(document)
        if changed == text and not again:
            return
        with replacing(whole, durable=True) as written:
            inherit(written, whole)  # it may hold secrets
            written.write_text(changed, encoding="utf-8")
            load_settings(written)


@contextmanager
def _alone(config: Path) -> Iterator[Path]:
    """Hold the lock of the file, which is given as what a link leads to: the link stays one.

    Raises:
        SettingsError: there is no such file, or no lock is to be had beside it.
    """
    with ExitStack() as held:
        try:
            whole = config.resolve(strict=True)
            held.enter_context(locked(whole))
        except (OSError, RuntimeError) as error:
            raise SettingsError(f"{config}: it cannot be rewritten: {error}") from error
        yield whole
