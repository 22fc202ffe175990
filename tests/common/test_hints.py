"""What errors say beside what is wrong: what was meant, which command makes what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.hints import absent, meant


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with an artifact of each kind in it."""
    for name, mark in (("shop", "shop.toml"), ("emb", "meta.json"), ("index", "index.json")):
        (tmp_path / name).mkdir()
        (tmp_path / name / mark).touch()
    (tmp_path / "bundles" / "acme-1a2b").mkdir(parents=True)
    (tmp_path / "bundles" / "acme-1a2b" / "manifest.json").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_nearest_word_is_told_and_nothing_where_none_is_near() -> None:
    assert meant("image.epoch", ["image.epochs", "seed"]) == "; did you mean image.epochs?"
    assert meant("colour", ["image.epochs", "seed"]) == ""
    assert meant("a" * 1_000_000, ["a" * 64]) == "", "what somebody sends costs no second"


@pytest.mark.parametrize(
    ("artifact", "name", "says"),
    [
        ("index", "index", None),
        ("index", "indx", "no such folder (did you mean index?)"),
        ("index", "nowhere", "`mrse index build EMBEDDINGS --out nowhere` makes one"),
        ("index", "emb", "holds embeddings, not an index; `mrse index build emb --out index` makes one"),
        ("bundle", "bundles", "holds a bundle in a folder of its own: name bundles/acme-1a2b"),
        ("bundle", "notes.txt", "is a file, not a folder; `mrse export RUN"),
        ("embeddings", "shop", "holds a shop, not embeddings; `mrse embed shop --bundle BUNDLE"),
        (
            "shop",
            "empty",
            "there is no shop.toml; docs/reference/files.md says what one holds; `mrse shop make",
        ),
        ("run", "empty", "`mrse train SHOP --out run`"),
    ],
)
def test_what_a_folder_is_and_which_command_makes_what_is_wanted(
    place: Path, artifact: str, name: str, says: str | None
) -> None:
    found = absent(artifact, Path(name))  # type: ignore[arg-type]
    assert found == says if says is None else says in str(found)
