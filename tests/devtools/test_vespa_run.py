"""A command that runs beside the Vespa peer gets its addresses, and its exit status is the program's."""

from __future__ import annotations

import os
import signal
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from devtools.vespa_peer import run


@pytest.mark.parametrize("status", [0, 3])
def test_a_command_beside_the_peer(status: int) -> None:
    peer: Any = SimpleNamespace(url="http://127.0.0.1:1", config_url="http://127.0.0.1:2")
    ask = f"import os; raise SystemExit({status} if os.environ['MRSE_VESPA_URL'][-1] == '1' else 9)"
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        assert run._beside(peer, [sys.executable, "-c", ask]) == status
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    assert "MRSE_VESPA_URL" not in os.environ
