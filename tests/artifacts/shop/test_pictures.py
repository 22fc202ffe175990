from __future__ import annotations

from pathlib import Path

import pytest

from artifacts.shop.errors import DataError
from artifacts.shop.pictures import NO_PICTURES, read_picture, read_pixels
from tests.support.shop import picture


def test_pixels_of_a_picture(tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(picture("red"))
    assert read_picture(tmp_path, "red.png") == picture("red")
    assert read_pixels(tmp_path, "red.png", 8).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("name", "code"),
    [("bad.png", "bad-picture"), ("none.png", "missing-picture"), ("../up.png", "picture-path")],
)
def test_what_is_wrong_names_the_file(tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DataError) as caught:
        read_pixels(tmp_path, name, 8)
    assert (caught.value.code, caught.value.column) == (code, "picture")
    assert caught.value.file == str(tmp_path / name)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_picture(tmp_path / "pictures", "red.png")
    assert caught.value.code == NO_PICTURES
