"""Whose a request is."""

from __future__ import annotations

from typing import Any

import pytest

from service.admission.client import CLIENT, client_of, network


def scope(*headers: tuple[bytes, bytes], address: str = "10.0.0.1", **more: Any) -> dict[str, Any]:
    return {"client": (address, 1234), "headers": list(headers), **more}


FORWARDED = (b"x-forwarded-for", b"6.6.6.6, 1.2.3.4")


def test_a_key_comes_before_what_a_proxy_says_and_that_before_the_address() -> None:
    assert client_of(scope(FORWARDED, **{CLIENT: "shop"}), b"x-forwarded-for") == "shop"
    assert client_of(scope(FORWARDED), b"x-forwarded-for") == "1.2.3.4", "the proxy's own value is the last"
    assert client_of(scope(FORWARDED), None) == "10.0.0.1", "anybody can send a header"
    assert client_of(scope(), b"x-forwarded-for") == "10.0.0.1"
    assert client_of({"client": None, "headers": []}, None) == ""


@pytest.mark.parametrize("other", ["2001:db8:0:1:ffff::2", "2001:db8:0:1::%eth0"])
def test_the_addresses_of_one_ipv6_network_are_one_client(other: str) -> None:
    assert network("2001:db8:0:1::1") == network(other)
    assert network("2001:db8:0:2::1") != network(other)
    assert network("no:address") == "no:address"


def test_a_name_is_not_longer_than_an_address() -> None:
    assert len(client_of(scope((b"x-client", b"a" * 10_000)), b"x-client")) == 256
