"""Pages of the service's own, which load nothing from elsewhere, and the files that they are made of."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import PurePath

from fastapi import Request, Response

_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}
#: Asked for again by each page, and answered with 304 while they are the same: a new version of the service
#: never meets the scripts of the one before.
_ALWAYS_ASK = "no-cache"


@dataclass(frozen=True, slots=True)
class File:
    """A file of the package ``service``, with what tells a browser whether it has changed."""

    content: bytes
    media_type: str
    etag: str
    policy: str | None = None

    @classmethod
    @cache
    def of(cls, name: str) -> File:
        """Read ``name``, a path below the package; a page gets the policy that its own parts need."""
        content = files("service").joinpath(name).read_bytes()
        kind = PurePath(name).suffix
        policy = _policy(content.decode()) if kind == ".html" else None
        return cls(content, _MEDIA_TYPES[kind], etag_of(content), policy)


def file_response(request: Request, name: str) -> Response:
    """The file ``name`` of the package ``service``, or 304 for who has it."""
    file = File.of(name)
    headers = {"Cache-Control": _ALWAYS_ASK, "Referrer-Policy": "no-referrer"}
    if file.policy is not None:
        headers["Content-Security-Policy"] = file.policy
    return cached_response(request, file.content, file.media_type, file.etag, headers)


def cached_response(
    request: Request, content: bytes, media_type: str, etag: str, headers: dict[str, str]
) -> Response:
    """An answer with an entity tag, without its content for who has it."""
    headers = headers | {"ETag": etag, "X-Content-Type-Options": "nosniff"}
    known = request.headers.get("if-none-match", "")
    if etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type)


def etag_of(content: bytes) -> str:
    """The entity tag of a content."""
    return f'"{hashlib.blake2s(content, digest_size=12).hexdigest()}"'


def media_type_of(name: str) -> str | None:
    """The type of a picture by its name; None for what is none that is shown."""
    kind = _MEDIA_TYPES.get(PurePath(name).suffix.lower())
    return kind if kind in ("image/png", "image/jpeg") else None


def _policy(page: str) -> str:
    """What lets the page's scripts and styles run, those in it or from the service itself, and no other."""
    return "; ".join(
        [
            "default-src 'none'",
            "connect-src 'self'",
            f"script-src {_source(page, 'script')}",
            f"style-src {_source(page, 'style')}",
            "img-src 'self' data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _source(page: str, tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    if found is None:
        return "'self'"
    digest = hashlib.sha256(found[1].encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
