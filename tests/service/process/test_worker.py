"""What a worker goes by that replaces another: the file, but for what the service was started with."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from service.access.guard import Guard
from service.access.keyfile import new_key
from service.errors import TooManyRequests
from service.process.worker import as_started
from tests.support.serving import make_settings


def test_a_rate_is_shared_by_the_workers_that_there_are_not_by_those_that_the_file_names(
    tmp_path: Path,
) -> None:
    key, lines = new_key("shop", ["read"], rate=0.001, burst=8)
    keys = tmp_path / "keys.toml"
    keys.write_text(lines)
    settings = make_settings(None, None, server={"workers": 8}, access={"keys": keys})
    scope = {"headers": [(b"authorization", f"Bearer {key}".encode())], "client": ("10.0.0.1", 1)}
    with socket.socket() as listener:
        guard = Guard(as_started(settings, [listener], 2))
    for _ in range(4):  # half of the burst: there are two
        guard.enter(dict(scope), "read")
    with pytest.raises(TooManyRequests):
        guard.enter(dict(scope), "read")


def test_no_port_is_opened_or_closed_by_a_reload() -> None:
    settings = make_settings(None, None, server={"admin_port": 9000})
    with socket.create_server(("127.0.0.1", 0)) as main, socket.create_server(("127.0.0.1", 0)) as admin:
        assert as_started(settings, [main], 1).server.admin_port == 0
        assert as_started(settings, [main, admin], 1).server.admin_port == admin.getsockname()[1]
