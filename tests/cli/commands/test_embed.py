"""What ``mrse embed`` names as the next command."""

from pathlib import Path

import pytest

from cli.commands.embed import _index_beside


def test_the_next_command_writes_into_no_folder_of_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _index_beside(Path("embeddings")) == Path("index")
    assert _index_beside(Path("to/corner-embeddings")) == Path("to/corner-index")
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "port.py").touch()  # as in a checkout
    assert _index_beside(Path("embeddings")) == Path("shop-index")
    (tmp_path / "index" / "index.json").touch()  # one that an earlier build wrote
    assert _index_beside(Path("embeddings")) == Path("index")
