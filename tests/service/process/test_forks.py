"""What the processes are started with."""

from __future__ import annotations

import os

import pytest

from service.process.forks import environment


def test_variables_stand_inside_the_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MRSE_TEST_SET", "before")
    monkeypatch.delenv("MRSE_TEST_UNSET", raising=False)
    with environment({"MRSE_TEST_SET": "inside", "MRSE_TEST_UNSET": "inside"}):
        assert (os.environ["MRSE_TEST_SET"], os.environ["MRSE_TEST_UNSET"]) == ("inside", "inside")
    assert os.environ["MRSE_TEST_SET"] == "before"
    assert "MRSE_TEST_UNSET" not in os.environ
