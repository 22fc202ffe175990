"""``GET /``: a page to try queries on; it loads nothing from other hosts."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

from fastapi import Request, Response

from service.http.routing import RawRoute


async def get_playground(request: Request) -> Response:
    """The page."""
    page, policy = _page()
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return Response(page, headers=headers, media_type="text/html; charset=utf-8")


@cache
def _page() -> tuple[bytes, str]:
    """The page and the policy that lets its own script and style run, and no other."""
    page = files("service").joinpath("playground.html").read_text(encoding="utf-8")
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
    assert found is not None, f"the playground has no <{tag}>"
    digest = hashlib.sha256(found[1].encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


routes = [RawRoute("/", get_playground, methods=["GET"], include_in_schema=False)]
