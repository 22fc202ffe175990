"""The allow-list for ``Host``."""

from __future__ import annotations

import pytest

from service.process.hosts import AllowedHosts


@pytest.mark.parametrize(
    ("names", "listens_on", "host", "allowed"),
    [
        ((), "0.0.0.0", b"anything.example", True),
        ((), "10.0.0.7", b"anything.example", True),
        ((), "127.0.0.1", b"localhost:8080", True),
        ((), "localhost", b"LOCALHOST.", True),
        ((), "::1", b"[::1]:8080", True),
        ((), "127.0.0.1", b"anything.example", False),
        (("shop.example", "*.shop.example"), "127.0.0.1", b"shop.example:80", True),
        (("shop.example", "*.shop.example"), "0.0.0.0", b"a.b.Shop.example", True),
        (("*.shop.example",), "0.0.0.0", b"shop.example", False),
        (("shop.example",), "0.0.0.0", b"xshop.example", False),
        (("shop.example",), "0.0.0.0", b"\xff\xfe", False),
    ],
)
def test_which_names_are_allowed(names: tuple[str, ...], listens_on: str, host: bytes, allowed: bool) -> None:
    hosts = AllowedHosts(names, listens_on)
    assert [hosts.allows(host) for _ in range(2)] == [allowed, allowed]
