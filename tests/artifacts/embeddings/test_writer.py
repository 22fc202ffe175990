from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from artifacts.embeddings import EmbeddingsError, EmbeddingsMeta, EmbeddingsWriter
from devtools.embeddings import write_embeddings

META = EmbeddingsMeta(bundle_version="b-00000000", rows=3, dim=4, experts=3, expert_dim=2, data="d")
ITEMS = [{"id": "a", "category": "Shoes", "price": 1.0}, {"id": "b", "category": ""}, {"id": "c"}]


def begin(target: Path, meta: EmbeddingsMeta = META) -> EmbeddingsWriter:
    return EmbeddingsWriter(target, meta, {"price": "number"})


def test_a_folder_is_not_there_before_it_is_whole(tmp_path: Path) -> None:
    writer = begin(tmp_path / "e")
    told: list[tuple[int, int | None]] = []
    writer.write_items(ITEMS, lambda done, total: told.append((done, total)))
    writer.embeddings[:] = np.eye(4)[:3]
    assert not (tmp_path / "e").exists()
    folder = writer.finish()
    assert told == [(3, 3)]
    assert folder.ids() == ["a", "b", "c"]
    assert folder.column("price").to_pylist() == [1.0, None, None]
    assert [path.name for path in tmp_path.iterdir()] == ["e"]
    assert len(list((tmp_path / "e").iterdir())) == 5


def test_what_was_stored_is_there_after_a_kill(tmp_path: Path) -> None:
    writer = begin(tmp_path / "e")
    writer.write_items(ITEMS)
    writer.features[:2] = 7
    writer.store("features", 2)
    again = begin(tmp_path / "e")
    assert (again.done("features"), again.done("embeddings")) == (2, 0)
    assert (again.features[:2] == 7).all()
    again.write_items([], lambda done, total: pytest.fail("the items are there"))


@pytest.mark.parametrize("change", [{"bundle_version": "c-00000000"}, {"data": "e"}, {"dim": 8}])
def test_a_partial_folder_of_something_else_is_begun_anew(tmp_path: Path, change: dict[str, object]) -> None:
    begin(tmp_path / "e").store("features", 2)
    assert begin(tmp_path / "e", META.model_copy(update=change)).done("features") == 0


def test_items_that_fail_leave_no_items_file(tmp_path: Path) -> None:
    def items():
        yield ITEMS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin(tmp_path / "e").write_items(items())
    assert not (tmp_path / "e.partial" / "items.parquet").exists()


def test_a_folder_of_embeddings_is_replaced_and_another_left_alone(tmp_path: Path) -> None:
    vectors, features = np.eye(4)[:3], np.zeros((3, 3, 2))
    for version in ("b-00000000", "c-00000000"):
        folder = write_embeddings(
            tmp_path / "e", ITEMS, vectors, features, bundle_version=version, attributes={"price": "number"}
        )
        assert folder.meta.bundle_version == version
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="is no embeddings folder"):
        begin(tmp_path / "mine")


def test_texts_are_kept_by_field_and_cut_to_what_is_read(tmp_path: Path) -> None:
    writer = begin(
        tmp_path / "e", META.model_copy(update={"text_fields": ("title", "tags"), "language": "german"})
    )
    writer.write_items(ITEMS)
    said = [{"id": "a", "title": "x" * 20_000}, {"id": "b", "title": "Schuhe", "tags": "rot"}, {"id": "c"}]
    writer.write_texts(said)
    writer.write_texts(pytest.fail("the texts are there") for _ in ITEMS)
    writer.embeddings[:] = np.eye(4)[:3]
    folder = writer.finish()
    (first, second), (third,) = folder.texts(2)
    assert [len(first["title"]), second, third] == [16_384, {"title": "Schuhe", "tags": "rot"}, {}]
    assert folder.text_columns()["tags"].to_pylist() == ["", "rot", ""]
    assert (folder.meta.text_fields, folder.meta.language) == (("title", "tags"), "german")


def test_a_folder_without_texts_says_so(tmp_path: Path) -> None:
    writer = begin(tmp_path / "e")
    writer.write_items(ITEMS)
    writer.write_texts(pytest.fail("there are no fields") for _ in ITEMS)
    folder = writer.finish()
    assert folder.texts_file is None
    with pytest.raises(EmbeddingsError, match=r"texts\.parquet: is not part of this folder"):
        next(folder.texts(2))


def test_texts_of_a_language_that_nobody_knows_are_refused(tmp_path: Path) -> None:
    writer = begin(tmp_path / "e", META.model_copy(update={"text_fields": ("title",), "language": "klingon"}))
    writer.write_items(ITEMS)
    writer.write_texts(ITEMS)
    with pytest.raises(EmbeddingsError, match=r"meta\.json: language is 'klingon', expected one of arabic"):
        next(writer.finish().texts(2))
