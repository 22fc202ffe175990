"""Files that are damaged or made to cost: a sentence with the path, in bounded time and memory."""

from __future__ import annotations

import contextlib
import io
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artifacts.shop.check import check_shop
from artifacts.shop.errors import DataError
from artifacts.shop.shop import Shop

DEEP = 5000
TOMLS = {
    "lists": "a = " + "[" * DEEP + "]" * DEEP,
    "tables": "a = " + "{a=" * DEEP + "1" + "}" * DEEP,
    "header": "[" + ".".join(["a"] * DEEP) + "]",
    "dotted": ".".join(["a"] * DEEP) + " = 1",
    "files": "[files]\nitems = " + "[" * DEEP + "]" * DEEP,
    "keys": "".join(f"k{n} = 1\n" for n in range(20_000)),
    "large": "# " + "x" * 300_000,
}


@pytest.mark.parametrize("kind", TOMLS)
def test_a_shop_toml_made_to_cost_is_told(tmp_path: Path, kind: str) -> None:
    (tmp_path / "shop.toml").write_text(TOMLS[kind])
    (tmp_path / "items.csv").write_text("id,title\n1,a\n")
    start = time.thread_time()
    told = [each for each in check_shop(tmp_path) if each.file == "shop.toml"]
    assert told
    assert all(len(str(each)) < 500 for each in told[:10])
    assert time.thread_time() - start < 5.0
    with pytest.raises(DataError, match=r"shop\.toml"):
        Shop.open(tmp_path)


def _parquet(**options: object) -> bytes:
    rows = range(40)
    table = pa.table(
        {"id": [f"i{n}" for n in rows], "title": [f"Schüh {n}" for n in rows], "tags": [["ä"]] * 40}
    )
    stream = io.BytesIO()
    pq.write_table(table, stream, row_group_size=15, **options)
    return stream.getvalue()


FILES = (_parquet(), _parquet(compression="none", use_dictionary=False))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120, deadline=None)
@given(st.sampled_from(FILES), st.floats(0, 1), st.integers(0, 255))
def test_a_damaged_byte_in_parquet_is_told_or_harmless(
    tmp_path: Path, file: bytes, place: float, byte: int
) -> None:
    data = bytearray(file)
    data[min(len(data) - 1, int(place * len(data)))] = byte
    (tmp_path / "shop.toml").write_text('name = "acme"\n[attributes]\ntags = "list"\n')
    (tmp_path / "items.parquet").write_bytes(data)
    assert all(each.file for each in check_shop(tmp_path))
    with contextlib.suppress(DataError):
        for item in Shop.open(tmp_path).items():
            assert item.id


def test_a_column_whose_name_is_not_utf8_is_told(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text('name = "acme"')
    (tmp_path / "items.parquet").write_bytes(FILES[1].replace(b"title", b"t\xedtle"))
    (problem,) = [each for each in check_shop(tmp_path) if not each.harmless and each.code != "no-items"]
    assert (problem.file, problem.code) == ("items.parquet", "unreadable-file")
