"""A file takes its place whole or not at all."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from common import files
from common.files import (
    OutsideError,
    inherit,
    inside,
    locked,
    read_bounded,
    replace_text,
    replacing,
)

ROOT = Path(__file__).parents[2]
_AS_NOBODY = """
import os
from pathlib import Path
from common.files import inherit, refuse_others
os.setgroups([]); os.setgid(65534); os.setuid(65534)
"""


@pytest.mark.parametrize("durable", [False, True])
def test_a_block_that_ends_well_replaces_the_file(tmp_path: Path, durable: bool) -> None:
    file = tmp_path / "a.json"
    replace_text(file, "old")
    with replacing(file, durable=durable) as written:
        assert written.parent == tmp_path
        assert written.suffix == ".json"
        written.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_block_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    replace_text(file, "old")

    def fail() -> None:
        with replacing(file) as written:
            written.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("relative", ["a", "a/b", "a/../b", ".", "not/there", "link", "ring/../a"])
def test_paths_that_stay_inside(tmp_path: Path, relative: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to("a")
    assert inside(tmp_path / "folder", relative) == tmp_path / "folder" / relative


@pytest.mark.parametrize(
    "relative", ["..", "../folder2/a", "/etc", "a/../../b", "link/a", "deep/link", "a\0b"]
)
def test_paths_that_lead_out(tmp_path: Path, relative: str) -> None:
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "link").symlink_to(tmp_path)
    (tmp_path / "folder" / "deep" / "link").symlink_to("../../else")
    with pytest.raises(OutsideError):
        inside(tmp_path / "folder", relative)


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bounded(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="has 5 bytes, over 4"):
        read_bounded(tmp_path / "a", 4)
    with pytest.raises(IsADirectoryError):
        read_bounded(tmp_path, 4)
    with pytest.raises(OSError, match="is a device"):
        read_bounded(Path("/dev/zero"), 4)


def test_what_takes_a_place_has_owner_group_and_mode_of_what_was_there(tmp_path: Path) -> None:
    file, written = tmp_path / "a.toml", tmp_path / "b.toml"
    file.write_text("old")
    if os.geteuid() == 0:
        os.chown(file, 12345, 23456)
    file.chmod(0o640)
    inherit(written, file)
    old, new = file.stat(), written.stat()
    assert (new.st_uid, new.st_gid, new.st_mode) == (old.st_uid, old.st_gid, old.st_mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others, as root alone can")
@pytest.mark.parametrize(
    ("owner", "group", "mode", "refused"),
    [
        (12345, 65534, 0o600, True),  # its owner could no longer read it
        (12345, 65534, 0o640, True),
        (12345, 65534, 0o644, False),  # everybody reads it, as before
        (65534, 23456, 0o640, True),  # our group could read it, and its group no longer
        (65534, 23456, 0o600, False),
        (65534, 65534, 0o640, False),
    ],
)
def test_nobody_else_comes_to_read_what_is_replaced(
    tmp_path: Path, owner: int, group: int, mode: int, refused: bool
) -> None:
    os.chown(tmp_path, 65534, 65534)
    file = tmp_path / "a.toml"
    file.write_text("secret")
    os.chown(file, owner, group)
    file.chmod(mode)
    for call in ("refuse_others(Path('a.toml'))", "inherit(Path('b.toml'), Path('a.toml'))"):
        done = subprocess.run(
            [sys.executable, "-c", _AS_NOBODY + call],
            cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == refused, done.stderr
        assert ("OwnerError" in done.stderr) == refused


def test_one_holds_a_lock_at_a_time_and_leads_to_nothing_else(tmp_path: Path) -> None:
    file, lock = tmp_path / "a.toml", tmp_path / ".a.toml.lock"
    with locked(file), lock.open("rb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with locked(file), pytest.raises(FileNotFoundError):
        file.stat()
    lock.unlink()
    (tmp_path / "other").write_text("somebody's")
    lock.symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links"), locked(file):
        raise AssertionError


def test_a_lock_that_is_never_given_back_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_PATIENCE_S", 0.0)
    file = tmp_path / "a.toml"
    with locked(file), pytest.raises(TimeoutError, match="held by another process"), locked(file):
        raise AssertionError
    with locked(file):  # it was given back
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_lock_that_root_makes_belongs_to_whom_the_file_does_and_nobody_else_s_is_given_away(
    tmp_path: Path,
) -> None:
    file, lock = tmp_path / "a.toml", tmp_path / ".a.toml.lock"
    file.touch()
    os.chown(file, 10001, 10002)
    with locked(file):
        assert (lock.stat().st_uid, lock.stat().st_gid) == (10001, 10002)
    os.chown(lock, 10003, 10003)
    with locked(file):  # it was there before: whatever it is by now, it is not given away
        assert lock.stat().st_uid == 10003
