"""A secret in a file of its own, such as Docker, Kubernetes and systemd mount it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from common.errors import MrseError
from common.files import read_bounded

#: No password, key or token is longer.
MAX_BYTES = 16 * 1024


class SecretFileError(MrseError, ValueError):
    """The file cannot be used; the message names it and says why, and shows nothing of what it holds."""


def read_secret(path: Path) -> str:
    """What a file holds, without the line break at its end.

    Raises:
        SecretFileError: it cannot be read, is over `MAX_BYTES`, is empty, has a second line, or is not UTF-8.
    """
    try:
        text = read_bounded(path, MAX_BYTES).decode("utf-8")
    except OSError as error:
        raise SecretFileError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise SecretFileError(f"{path}: is not UTF-8") from None  # its message shows the bytes
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise SecretFileError(f"{path}: is empty")
    if "\n" in secret or "\0" in secret:
        raise SecretFileError(f"{path}: holds more than one line")
    return secret


def secret_variable(variable: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """The value of an environment variable, or what the file holds that ``<variable>_FILE`` names.

    Raises:
        SecretFileError: both are set, or the file cannot be used.
    """
    value, file = environment.get(variable) or None, environment.get(f"{variable}_FILE") or None
    if file is None:
        return value
    if value is not None:
        raise SecretFileError(f"{variable} and {variable}_FILE are both set: one of them")
    try:
        return read_secret(Path(file))
    except SecretFileError as error:
        raise SecretFileError(f"{variable}_FILE: {error}") from error
