"""``GET /docs``: the OpenAPI document as a page, with a form to try each endpoint.

It loads nothing from elsewhere, so that it works without a way to the internet.
"""

from __future__ import annotations

from fastapi import Request, Response

from service.http.pages import file_response
from service.http.routing import RawRoute


async def get_docs(request: Request) -> Response:
    """The page."""
    return file_response(request, "reference.html")


routes = [RawRoute("/docs", get_docs, needs=None, include_in_schema=False)]
