from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from artifacts.embeddings import EmbeddingsError, EmbeddingsFolder
from common.errors import USAGE, MrseError
from devtools.embeddings import ATTRIBUTES, make_embeddings, random_items, unit_vectors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_embeddings(tmp_path / "e", items=random_items(50, seed=2), dim=16, expert_dim=8)


def test_what_was_written_is_read(folder: Path) -> None:
    opened = EmbeddingsFolder.open(folder)
    items = random_items(50, seed=2)
    assert (opened.meta.rows, opened.meta.dim, opened.meta.experts, opened.meta.expert_dim) == (50, 16, 3, 8)
    assert opened.attributes == ATTRIBUTES
    assert opened.ids() == [item["id"] for item in items]
    assert opened.column("tags").to_pylist() == [item["tags"] for item in items]
    np.testing.assert_array_equal(opened.vectors, unit_vectors(50, 16).astype(np.float16))
    assert opened.features.shape == (50, 3, 8)
    rows = np.array([3, 1])
    np.testing.assert_array_equal(opened.checked_vectors(rows), opened.vectors[rows])
    np.testing.assert_array_equal(opened.checked_features(rows), opened.features[rows])


def test_batches_hold_all_rows_in_order(folder: Path) -> None:
    batches = list(EmbeddingsFolder.open(folder).batches(["id", "price"], 20))
    assert [len(batch["id"]) for batch in batches] == [20, 20, 10]
    assert [price for batch in batches for price in batch["price"]] == [
        item["price"] for item in random_items(50, seed=2)
    ]


def test_only_what_is_used_is_read(folder: Path) -> None:
    (folder / "embeddings.npy").unlink()
    (folder / "items.parquet").unlink()
    opened = EmbeddingsFolder.open(folder)
    assert len(opened.features) == 50
    with pytest.raises(EmbeddingsError, match=r"embeddings\.npy: cannot be read") as caught:
        _ = opened.vectors
    assert caught.value.file == folder / "embeddings.npy"
    assert isinstance(caught.value, MrseError)
    assert caught.value.exit_code == USAGE
    with pytest.raises(EmbeddingsError, match=r"items\.parquet: cannot be read as Parquet"):
        opened.ids()


def test_an_absent_column_is_named(folder: Path) -> None:
    with pytest.raises(EmbeddingsError, match=r"items\.parquet: has no column 'colour'"):
        EmbeddingsFolder.open(folder).column("colour")


def test_another_format_is_refused(folder: Path) -> None:
    meta = folder / "meta.json"
    meta.write_text(meta.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(EmbeddingsError, match=r"meta\.json: format: "):
        EmbeddingsFolder.open(folder)


def test_the_parquet_reader_is_loaded_only_for_items(folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from artifacts.embeddings import EmbeddingsFolder\n"
        f"folder = EmbeddingsFolder.open(Path({str(folder)!r})); folder.vectors, folder.features\n"
        "assert 'pyarrow' not in sys.modules; folder.ids(); assert 'pyarrow.parquet' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
