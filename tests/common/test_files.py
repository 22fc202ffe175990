"""A file takes its place whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.files import replace_text, replacing


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
