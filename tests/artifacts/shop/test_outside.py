"""Nothing that a shop or a data set names is read from elsewhere, nor what might never end."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from artifacts.shop.check import check_shop
from artifacts.shop.errors import DataError
from artifacts.shop.importers import import_clothing, import_esci, import_grocery, import_online_retail
from artifacts.shop.schema import ShopSchema
from artifacts.shop.shop import Shop
from artifacts.shop.writer import ShopWriter
from tests.artifacts.shop.shops import picture_bytes, write_rows

SECRET = "SECRET-OUTSIDE"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A sound shop beside a folder that is none of its business."""
    folder, outside = tmp_path / "shop", tmp_path / "outside"
    (folder / "pictures").mkdir(parents=True)
    outside.mkdir()
    (outside / "photo.jpg").write_bytes(picture_bytes())
    (outside / "secret.txt").write_text(SECRET)
    (folder / "pictures" / "a.jpg").write_bytes(picture_bytes())
    for place in (folder, outside):
        rows = [{"id": "1", "title": "Shoe", "picture": "a.jpg"}]
        write_rows(place / "items.csv", ["id", "title", "picture"], rows)
    (folder / "shop.toml").write_text('name = "acme"\n')
    return folder


def codes(shop: Path) -> set[tuple[str, str | None, str]]:
    return {(each.file, each.column, each.code) for each in check_shop(shop) if not each.harmless}


def test_the_shop_itself_is_sound(shop: Path) -> None:
    assert not codes(shop)
    assert Shop.open(shop).picture("a.jpg") == picture_bytes()


@pytest.mark.parametrize("key", ["items", "events", "pictures"])
@pytest.mark.parametrize(
    "value", ["../outside/items.csv", "/etc/hostname", "link/items.csv", "a/../../outside"]
)
def test_what_shop_toml_names_lies_in_the_shop(shop: Path, key: str, value: str) -> None:
    (shop / "link").symlink_to("../outside")
    (shop / "shop.toml").write_text(f'name = "acme"\n[files]\n{key} = "{value}"\n')
    assert ("shop.toml", key, "outside-shop") in codes(shop)
    with pytest.raises(DataError, match="expected a path inside the shop's folder") as caught:
        Shop.open(shop)
    assert (caught.value.code, caught.value.line) == ("outside-shop", 3)


@pytest.mark.parametrize("name", ["shop.toml", "items.csv", "events.csv", "pictures"])
def test_a_file_of_the_shop_is_no_link_that_leads_out(shop: Path, name: str) -> None:
    here, there = shop / name, shop.parent / "outside" / name
    if here.exists():
        here.rename(there) if name != "items.csv" else here.unlink()
    else:
        there.write_text("ts,item,action\n")
    here.symlink_to(there)
    assert codes(shop)
    with pytest.raises(DataError, match="leads out of the folder by a link"):
        Shop.open(shop)


def test_a_link_within_the_shop_is_read(shop: Path) -> None:
    (shop / "catalogue.csv").write_bytes((shop / "items.csv").read_bytes())
    (shop / "items.csv").unlink()
    (shop / "items.csv").symlink_to("catalogue.csv")
    assert not codes(shop)


def test_a_shop_may_itself_be_a_link(shop: Path) -> None:
    link = shop.parent / "current"
    link.symlink_to(shop)
    assert not codes(link)


@pytest.mark.parametrize(
    "leads", ["../../outside/photo.jpg", "/etc/hostname", "a.jpg/../../../outside/photo.jpg"]
)
def test_a_picture_is_no_link_that_leads_out(shop: Path, leads: str) -> None:
    (shop / "pictures" / "a.jpg").unlink()
    (shop / "pictures" / "a.jpg").symlink_to(leads)
    with pytest.raises(DataError) as caught:
        Shop.open(shop).picture("a.jpg")
    assert caught.value.code in ("picture-path", "missing-picture")
    assert codes(shop)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def local_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # for the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(3 << 30)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", [pipe, device, local_socket, huge])
@pytest.mark.parametrize("name", ["pictures/a.jpg", "shop.toml"])
def test_what_might_never_end_is_told_and_not_read(
    shop: Path, make: Callable[[Path], None], name: str
) -> None:
    (shop / name).unlink()
    make(shop / name)
    told = [str(each) for each in check_shop(shop)]
    assert any("a.jpg" in each or "shop.toml" in each for each in told), told
    with pytest.raises(DataError):
        Shop.open(shop).picture("a.jpg")


@pytest.mark.timeout(60)
def test_a_table_that_is_a_pipe_is_told(shop: Path) -> None:
    (shop / "items.csv").unlink()
    pipe(shop / "items.csv")
    assert ("items", None, "no-file") in codes(shop)


def grocery(source: Path, iconic: str = "i/01_Iconic.jpg", photo: str = "train/01.jpg") -> Path:
    for name in ("i/01_Iconic.jpg", "train/01.jpg"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(picture_bytes())
    columns = "Class Name (str),Class ID (int),Coarse Class Name (str),Iconic Image Path (str)"
    (source / "classes.csv").write_text(f"{columns}\nApple,0,Fruit,{iconic}\n")
    (source / "train.txt").write_text(f"{photo}, 0, 0\n")
    return source


def test_the_grocery_data_set_is_imported(tmp_path: Path) -> None:
    assert import_grocery(grocery(tmp_path / "set"), tmp_path / "shop").pictures == 2


@pytest.mark.parametrize(
    "names",
    [
        {"photo": "../private.txt"},
        {"photo": "/etc/hostname"},
        {"photo": "link/private.txt"},
        {"photo": "train/linked.jpg"},
        {"iconic": "../private.txt"},
        {"iconic": "link/private.txt"},
        {"iconic": "i/../../private_Iconic.jpg"},
    ],
)
def test_grocery_names_no_file_from_elsewhere(tmp_path: Path, names: dict[str, str]) -> None:
    (tmp_path / "private.txt").write_text(SECRET)
    (tmp_path / "private_Description.txt").write_text(SECRET)
    source = grocery(tmp_path / "set", **names)
    (source / "link").symlink_to(tmp_path)
    (source / "train" / "linked.jpg").symlink_to(tmp_path / "private.txt")
    with pytest.raises(DataError, match="expected a file inside the data set's folder"):
        import_grocery(source, tmp_path / "shop")
    left = [file for file in (tmp_path / "shop").rglob("*") if file.is_file()]
    assert not any(SECRET.encode() in file.read_bytes() for file in left)


@pytest.mark.parametrize("name", ["i/01_Description.txt", "train.txt", "classes.csv"])
def test_grocery_reads_no_text_by_a_link_that_leads_out(tmp_path: Path, name: str) -> None:
    source = grocery(tmp_path / "set")
    (tmp_path / "secret").write_text(SECRET)
    (source / name).unlink(missing_ok=True)
    (source / name).symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match="leads out of the folder by a link"):
        import_grocery(source, tmp_path / "shop")


@pytest.mark.parametrize(
    ("run", "names"),
    [
        (import_esci, ["products.csv.gz", "queries.csv.gz", "labels.csv.gz"]),
        (
            import_esci,
            ["shopping_queries_dataset_examples.parquet", "shopping_queries_dataset_products.parquet"],
        ),
        (import_online_retail, ["items.csv.gz", "purchases.csv.gz"]),
        (import_online_retail, ["export.csv"]),
        (import_clothing, ["items.csv.gz", "images.zip"]),
        (import_clothing, ["train/hat/1.jpg"]),
    ],
)
def test_no_importer_follows_a_link_that_leads_out(
    tmp_path: Path, run: Callable[[Path, Path], object], names: list[str]
) -> None:
    (tmp_path / "secret").write_text(SECRET)
    for name in names:
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match="leads out of the folder by a link"):
        run(tmp_path / "set", tmp_path / "shop")


@pytest.mark.timeout(60)
def test_a_photo_that_is_a_pipe_or_a_device_is_left_out(tmp_path: Path) -> None:
    source = grocery(tmp_path / "set")
    (source / "train" / "01.jpg").unlink()
    pipe(source / "train" / "01.jpg")
    assert import_grocery(source, tmp_path / "shop").skipped == {"photo missing": 1}


def test_nothing_is_written_through_a_link_of_the_target(tmp_path: Path) -> None:
    (tmp_path / "shop" / "pictures").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "shop" / "pictures" / "iconic").symlink_to(tmp_path / "outside")
    with (
        pytest.raises(DataError, match="leads out"),
        ShopWriter(tmp_path / "shop", ShopSchema("acme")) as writer,
    ):
        writer.add_picture("iconic/1.jpg", b"picture")
    assert not list((tmp_path / "outside").iterdir())
