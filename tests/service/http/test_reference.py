"""``/docs`` needs nothing from elsewhere, and knows every word of the document that it reads."""

from __future__ import annotations

import base64
import hashlib
import re

import httpx


def test_the_page_loads_nothing_from_elsewhere_and_runs_only_its_own_script(client: httpx.Client) -> None:
    response = client.get("/docs")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page, policy = response.text, response.headers["content-security-policy"]
    assert re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>;]+)""", page) == ["openapi.json", "openapi.json"]
    assert "http" not in page
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(r"\son\w+=|\sstyle=|innerHTML", page)
    assert "needs JavaScript" in page, "what it says without"


def test_it_works_below_the_version_and_leads_to_the_document(client: httpx.Client) -> None:
    assert client.get("/v1/docs").text == client.get("/docs").text
    assert client.get("/v1/openapi.json").status_code == 200
