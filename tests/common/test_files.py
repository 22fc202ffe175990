"""A file takes its place whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.files import OutsideError, inside, read_bounded, replace_text, replacing


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
