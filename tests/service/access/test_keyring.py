"""Keys follow their file, and survive a slip in it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from service.access.keyfile import new_key
from service.access.keyring import KeyRing
from service.errors import StartError


def test_keys_follow_their_file(tmp_path: Path) -> None:
    path, counted = tmp_path / "keys.toml", list[str]()
    (old, old_lines), (new, new_lines) = new_key("shop", ["read"]), new_key("shop", ["read"])
    path.write_text(old_lines)
    ring = KeyRing(path, counted.append)
    assert ring.find(old.encode())[1]
    assert ring.find(new.encode()) == (None, False)
    assert not ring.refresh()
    path.write_text(old_lines + new_lines)  # both are good while clients change over
    assert ring.refresh()
    assert ring.find(old.encode())[1]
    assert ring.find(new.encode())[1]
    path.write_text(new_lines)
    assert ring.refresh()
    assert ring.find(old.encode()) == (None, False)
    assert counted == ["read", "read"]


def test_a_slip_in_the_file_locks_nobody_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, counted = tmp_path / "keys.toml", list[str]()
    key, lines = new_key("shop", ["read"])
    path.write_text(lines)
    ring = KeyRing(path, counted.append)
    path.write_text("[[key]")
    assert not ring.refresh()
    assert not ring.refresh()  # told once
    assert ring.find(key.encode())[1]
    path.unlink()
    assert not ring.refresh()
    assert ring.find(key.encode())[1]
    assert counted == ["failed", "failed"]
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    path.write_text("")
    assert ring.refresh()
    assert not ring.find(key.encode())[1]


def test_a_mounted_secret_is_a_link_that_is_replaced(tmp_path: Path) -> None:
    (old, old_lines), (new, new_lines) = new_key("a", ["read"]), new_key("a", ["read"])
    for name, lines in (("one", old_lines), ("two", new_lines)):
        (tmp_path / name).write_text(lines)
    path = tmp_path / "keys.toml"
    path.symlink_to(tmp_path / "one")
    ring = KeyRing(path)
    (tmp_path / "next").symlink_to(tmp_path / "two")
    (tmp_path / "next").replace(path)
    assert ring.refresh()
    assert (ring.find(old.encode())[1], ring.find(new.encode())[1]) == (False, True)


def test_a_key_ends_on_its_day(tmp_path: Path) -> None:
    key, lines = new_key("a", ["read"], date(2027, 6, 30))
    path = tmp_path / "keys.toml"
    path.write_text(lines)
    now = [1814313599.0]  # one second before that day, in UTC
    ring = KeyRing(path, clock=lambda: now[0])
    assert ring.find(key.encode())[1]
    now[0] += 1
    found, good = ring.find(key.encode())
    assert found is not None
    assert not good


def test_a_service_does_not_start_with_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"keys\.toml"):
        KeyRing(tmp_path / "keys.toml")


def test_a_password_is_no_key(tmp_path: Path) -> None:
    from hashlib import sha256

    path = tmp_path / "keys.toml"
    path.write_text(f'[[key]]\nname="a"\nscopes=["read"]\nsha256="{sha256(b"hush").hexdigest()}"')
    assert KeyRing(path).find(b"hush") == (None, False)
