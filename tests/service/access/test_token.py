"""The admin token follows its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.access.token import AdminToken
from service.errors import StartError
from service.settings import Server


def test_a_token_in_a_file_counts_and_so_does_the_next_one(tmp_path: Path) -> None:
    file, told = tmp_path / "token", list[str]()
    file.write_text("one\n")
    token = AdminToken(Server(admin_token_file=file), told.append)
    assert token.is_(b"one")
    assert not token.is_(b"one\n")
    assert not token.refresh()
    (tmp_path / "next").write_text("another")
    (tmp_path / "next").replace(file)  # as a mounted secret is replaced
    assert token.refresh()
    assert token.is_(b"another")
    assert not token.is_(b"one")
    assert told == ["read"]


def test_a_file_that_is_gone_or_empty_changes_nothing(tmp_path: Path) -> None:
    file, told = tmp_path / "token", list[str]()
    file.write_text("one")
    token = AdminToken(Server(admin_token_file=file), told.append)
    file.write_text("")
    assert not token.refresh()
    assert token.is_(b"one")
    assert not token.is_(b"")
    file.unlink()
    assert not token.refresh()
    assert token.is_(b"one")
    assert told == ["failed", "failed"]


def test_no_start_without_the_file_and_no_token_matches_none(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"server.admin_token_file: .*No such file"):
        AdminToken(Server(admin_token_file=tmp_path / "none"))
    assert not AdminToken(Server()).is_(b"")
    with pytest.raises(ValueError, match="at least 1"):
        Server.model_validate({"admin_token": ""})
