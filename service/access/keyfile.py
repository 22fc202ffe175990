"""The file of keys.

It holds digests, so whoever reads it has no key::

    [[key]]
    name = "shop"
    scopes = ["read"]
    sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    expires = 2027-06-30     # optional; good until that day begins, in UTC
    rate = 200               # optional: requests a second, where each entry of a batch counts
    burst = 400              # optional: requests at once after a pause; twice the rate where left out
    quota = 2_000_000        # optional: requests a day, in UTC, counted likewise

A name may stand several times: the new key beside the old one, until every client has changed over.

SHA-256 is enough, and no slow hash is needed: a key is 32 random bytes, which nobody finds by trying, however
fast. For the same reason only what looks like such a key is looked up, never a password that somebody chose.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
import tomllib
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from service.errors import StartError
from service.settings import Scope

#: What a key looks like: a prefix that scanners for leaked secrets can search, and 32 bytes in base64.
LOOKS_LIKE = re.compile(rb"mrse_[A-Za-z0-9_-]{43}")
#: A file of this size has some 2,000 keys.
MAX_FILE_BYTES = 256 * 1024
#: The longest line that a key needs has half as many; comments may be longer.
_MAX_LINE = 200

KeyName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


class Key(BaseModel):
    """One key; ``rate``, ``burst`` and ``quota`` in requests a second, requests, and requests a day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: KeyName
    scopes: Annotated[frozenset[Scope], Field(min_length=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    expires: datetime | date | None = None
    rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    burst: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    quota: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _burst_of_a_rate(self) -> Key:
        if self.burst is not None and self.rate is None:
            raise ValueError("burst without a rate")
        return self

    @property
    def expires_at(self) -> float:
        """Seconds since 1970 when it stops being good; infinity for never."""
        if self.expires is None:
            return float("inf")
        moment = self.expires
        if not isinstance(moment, datetime):
            moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


_KEYS = TypeAdapter(list[Key])


def digest(key: bytes) -> bytes:
    """SHA-256 of a key."""
    return hashlib.sha256(key).digest()


def new_key(
    name: str,
    scopes: Sequence[str],
    expires: date | None = None,
    rate: float | None = None,
    burst: float | None = None,
    quota: int | None = None,
) -> tuple[str, str]:
    """A new random key, and the lines that stand for it in the file.

    Raises:
        ValueError: a name or number that the file may not have.
    """
    key = f"mrse_{secrets.token_urlsafe(32)}"
    proof = digest(key.encode()).hex()
    written = {
        "name": name,
        "scopes": scopes,
        "sha256": proof,
        "expires": expires,
        "rate": rate,
        "burst": burst,
        "quota": quota,
    }
    limits = {"expires": expires, "rate": rate, "burst": burst, "quota": quota}
    try:
        known = Key.model_validate(written)
    except ValidationError as error:
        raise ValueError(_said(error)) from error
    named = ", ".join(f'"{scope}"' for scope in dict.fromkeys(scopes))
    lines = ["[[key]]", f'name = "{known.name}"', f"scopes = [{named}]", f'sha256 = "{known.sha256}"']
    lines += [f"{field} = {value}" for field, value in limits.items() if value is not None]
    return key, "\n".join(lines) + "\n"


def read_keys(path: Path) -> dict[bytes, Key]:
    """The keys of a file by their digest.

    Raises:
        StartError: the file cannot be used; the message says which key and why.
    """
    try:
        text = _read(path).decode("utf-8")
        _refuse_long_lines(text)
        document = tomllib.loads(text)
    except OSError as error:
        raise StartError(f"keys {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise StartError(f"keys {path}: not TOML: {error}") from error
    if set(document) - {"key"}:
        raise StartError(f"keys {path}: only tables [[key]] belong here, not {sorted(document)[0]!r}")
    try:
        keys = _KEYS.validate_python(document.get("key", []))
    except ValidationError as error:
        raise StartError(f"keys {path}: {_said(error)}") from error
    found = {bytes.fromhex(key.sha256): key for key in keys}
    if len(found) < len(keys):
        raise StartError(f"keys {path}: the same digest stands there twice")
    return found


def _refuse_long_lines(text: str) -> None:
    """Names with thousands of dots would take the parser's time and memory by their square."""
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > _MAX_LINE and not line.lstrip().startswith("#"):
            raise ValueError(f"line {number} has over {_MAX_LINE} characters")


def _said(error: ValidationError) -> str:
    """The first thing that is wrong, without what was written there: it might be a key."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = [
        f"key {part + 1}" if place == 0 and isinstance(part, int) else str(part)
        for place, part in enumerate(first["loc"])
    ]
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "string_pattern_mismatch" and where[-1:] == ["name"]:
        reason = "small letters, digits, - and _, up to 32, a letter or digit first"
    return ": ".join([*where, reason])


def _read(path: Path) -> bytes:
    """The file's bytes; what is no file, such as a pipe, is not waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 -- of a descriptor
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no file")
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"over {MAX_FILE_BYTES} bytes")
    return content
