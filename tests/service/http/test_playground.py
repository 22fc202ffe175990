"""The playground needs nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re

import httpx


def test_the_playground_loads_nothing_and_runs_only_its_own_script(client: httpx.Client) -> None:
    response = client.get("/")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page, policy = response.text, response.headers["content-security-policy"]
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?!data:|playground/)[^"'\s>]""", page)
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(r"\son\w+=|\sstyle=|innerHTML", page)
