"""Secrets that stand in files of their own, as orchestrators mount them.

Each key that holds a secret has a second one that ends in ``_file`` and names a file with it: ``url_file``
for ``redis.url``, and so ``MRSE_REDIS_URL_FILE``. The file is read where the settings are read, its last line
break left out. Secrets that are followed while the service runs have a ``_file`` of their own in their group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr

from common.secret_files import SecretFileError, read_secret

SUFFIX = "_file"


def secret_keys(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    """The paths of keys that hold secrets, such as ``("redis", "url")``, but for those with a ``_file``."""
    for name, field in model.model_fields.items():
        if _holds(field.annotation, SecretStr):
            if name + SUFFIX not in model.model_fields:
                yield (name,)
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            for path in secret_keys(field.annotation):
                yield (name, *path)


def with_secrets(
    values: Mapping[str, Any],
    model: type[BaseModel],
    refused: Callable[[tuple[str, ...], str], Exception],
) -> dict[str, Any]:
    """The values of one source with what the named files hold in place of their names.

    Args:
        values: nested groups.
        model: the settings.
        refused: makes the error of a key that cannot be used and why.

    Raises:
        Exception: what ``refused`` makes: secret and file are both given, or the file cannot be used.
    """
    found = dict(values)
    for *groups, key in secret_keys(model):
        group: Any = values
        for name in groups:
            group = group.get(name) if isinstance(group, Mapping) else None
        if not isinstance(group, Mapping) or key + SUFFIX not in group:
            continue
        named = (*groups, key + SUFFIX)
        if key in group:
            raise refused(named, f"{key} and {key}{SUFFIX} are both given: one of them")
        if not isinstance(group[key + SUFFIX], str):
            raise refused(named, "a path is expected")
        try:
            secret = read_secret(Path(group[key + SUFFIX]))
        except SecretFileError as error:
            raise refused(named, str(error)) from error
        found = _put(found, groups, key, secret)
    return found


def _put(values: Mapping[str, Any], groups: list[str], key: str, secret: str) -> dict[str, Any]:
    """A copy with the secret in place of the file's name."""
    if not groups:
        return {name: value for name, value in values.items() if name != key + SUFFIX} | {key: secret}
    first, *rest = groups
    return {**values, first: _put(values[first], rest, key, secret)}


def _holds(annotation: Any, kind: type) -> bool:
    return annotation is kind or any(_holds(each, kind) for each in get_args(annotation))
