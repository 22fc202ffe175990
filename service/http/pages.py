"""Pages of the service's own: one file each, which runs its own script and style and loads nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

from fastapi import Response


def page_response(name: str) -> Response:
    """The page in the file ``name`` of the package ``service``."""
    content, policy = _page(name)
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return Response(content, headers=headers, media_type="text/html; charset=utf-8")


@cache
def _page(name: str) -> tuple[bytes, str]:
    """The page and the policy that lets its own script and style run, and no other."""
    page = files("service").joinpath(name).read_text(encoding="utf-8")
    policy = [
        "default-src 'none'",
        "connect-src 'self'",
        f"script-src {_hash(page, 'script')}",
        f"style-src {_hash(page, 'style')}",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    return page.encode(), "; ".join(policy)


def _hash(page: str, tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    assert found is not None, f"the page has no <{tag}>"
    digest = hashlib.sha256(found[1].encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
