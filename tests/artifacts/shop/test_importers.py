"""Each data set's layouts become shops without a problem."""

from __future__ import annotations

import csv
import gzip
import io
import shlex
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from artifacts.shop.check import check_shop
from artifacts.shop.errors import DataError
from artifacts.shop.importers import (
    ImportSummary,
    import_clothing,
    import_esci,
    import_grocery,
    import_online_retail,
)
from artifacts.shop.importers.grocery_queries import Product, text_queries
from artifacts.shop.shop import Shop
from cli.main import build
from devtools.pages import examples
from tests.artifacts.shop.shops import picture_bytes

DATA = Path(__file__).parents[4] / "shared" / "data"


def write_csv(path: Path, *rows: Sequence[object], encoding: str = "utf-8") -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    data = buffer.getvalue().encode(encoding)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_zip(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, picture_bytes())


def write_picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture_bytes())


def sound(path: Path) -> Shop:
    assert {problem.code for problem in check_shop(path)} <= {"no-behaviour"}
    return Shop.open(path)


PRODUCTS = [
    Product("p0", "Granny Smith", "Apple", "Granny Smith is a green apple with white, firm pulp.", ""),
    Product("p1", "Pink Lady", "Apple", "Pink Lady is even sweeter than a red apple.", ""),
    Product("p2", "Arla Sour Cream", "Sour Cream", "Sour cream made from fresh cream.", "Arla Ko"),
    Product("p3", "Arla Ecological Sour Cream", "Sour Cream", "KRAV-labeled sour cream.", "Arla Ko"),
    Product("p4", "Oatly Oat Milk", "Oat Milk", "A natural oat drink, enriched with calcium.", "Oatly"),
    Product("p5", "Arla Standard Milk", "Milk", "Fresh standard milk.", "Arla Ko"),
    Product("p6", "Aubergine", "Aubergine", "Aubergine, or eggplant as it is also called, is purple.", ""),
    Product("p7", "Arla Natural Yoghurt", "Yoghurt", "Creamy yoghurt.", "Arla Ko"),
]


def test_queries_name_the_products_that_answer() -> None:
    queries = {query.text: query for query in text_queries(PRODUCTS)}
    answers = {
        "green apple": ("p0",),
        "apple": ("p0", "p1"),
        "apples": ("p0", "p1"),
        "granny smith": ("p0",),
        "granny smith apple": ("p0",),
        "sour cream": ("p2", "p3"),
        # the whole name means the one product
        "arla sour cream": ("p2",),
        "organic sour cream": ("p3",),
        "oat milk": ("p4",),
        "milk": ("p5",),
        "arla": ("p2", "p3", "p5", "p7"),
        "eggplant": ("p6",),
        "arla yogurt": ("p7",),
    }
    assert {text: queries[text].products for text in answers} == answers
    # what others are compared with is no property of the product
    assert "red apple" not in queries
    assert all(query.text == query.text.lower().strip() for query in queries.values())


def test_queries_are_stable_and_split_by_text() -> None:
    queries = text_queries(PRODUCTS)
    assert queries == text_queries(reversed(PRODUCTS))
    assert len({query.text for query in queries}) == len(queries)
    splits = Counter(query.split for query in queries)
    assert splits.keys() == {"train", "val"}
    assert splits["train"] > 2 * splits["val"]


def grocery_cut(source: Path) -> None:
    columns = ("product_id", "name", "section", "category", "description", "manufacturer_volume", "country")
    write_csv(
        source / "products.csv.gz",
        columns,
        (0, "Granny Smith", "Fruit", "Apple", "Granny Smith is a green apple.", "", ""),
        (1, "Arla Sour Cream", "Packages", "Sour Cream", "Sour cream.", "ARLA KO , 3dl", "Sverige"),
    )
    write_csv(
        source / "listings.csv.gz",
        ("listing_id", "image", "product_id", "split"),
        ("g0", "natural/0000.jpg", 0, "train"),
        ("g1", "natural/0001.jpg", 1, "val"),
        ("g2", "natural/0002.jpg", 1, "val"),
    )
    write_zip(source / "images.zip", "iconic/00.jpg", "iconic/01.jpg", "natural/0000.jpg", "natural/0001.jpg")


def grocery_repository(source: Path) -> None:
    folder = source / "dataset"
    base = "/iconic-images-and-descriptions"
    write_csv(
        folder / "classes.csv",
        (
            "Class Name (str)",
            "Class ID (int)",
            "Coarse Class Name (str)",
            "Coarse Class ID (int)",
            "Iconic Image Path (str)",
            "Product Description Path (str)",
        ),
        ("Granny-Smith", 0, "Apple", 0, f"{base}/Fruit/Apple/Granny-Smith/Granny-Smith_Iconic.jpg", ""),
        (
            "Arla-Sour-Cream",
            1,
            "Sour-Cream",
            1,
            f"{base}/Packages/Sour-Cream/A/Arla-Sour-Cream_Iconic.jpg",
            "",
        ),
    )
    apple = folder / "iconic-images-and-descriptions" / "Fruit" / "Apple" / "Granny-Smith"
    cream = folder / "iconic-images-and-descriptions" / "Packages" / "Sour-Cream" / "A"
    write_picture(apple / "Granny-Smith_Iconic.jpg")
    write_picture(cream / "Arla-Sour-Cream_Iconic.jpg")
    (apple / "Granny-Smith_Description.txt").write_text("Granny Smith is a green apple.\n")
    (cream / "Arla-Sour-Cream_Description.txt").write_text("Sour cream.")
    (cream / "Arla-Sour-Cream_Information.txt").write_text(
        "Title: Gräddfil\nManufacturer and volume: ARLA KO , 3dl \nManufacturing country: Sweden \n"
    )
    (folder / "train.txt").write_text("train/Fruit/Apple/Granny-Smith/0000.jpg, 0, 0\n")
    (folder / "val.txt").write_text(
        "val/Packages/Sour-Cream/Arla-Sour-Cream/0001.jpg\n"
        "val/Packages/Sour-Cream/Arla-Sour-Cream/0002.jpg, 1, 1\n"
    )
    write_picture(folder / "train/Fruit/Apple/Granny-Smith/0000.jpg")
    write_picture(folder / "val/Packages/Sour-Cream/Arla-Sour-Cream/0001.jpg")


@pytest.mark.parametrize("layout", [grocery_cut, grocery_repository])
def test_grocery(tmp_path: Path, layout: Callable[[Path], None]) -> None:
    layout(tmp_path / "source")
    seen: list[tuple[int, int | None]] = []
    summary = import_grocery(tmp_path / "source", tmp_path / "shop", lambda *call: seen.append(call))
    shop = sound(tmp_path / "shop")
    apple, cream = shop.items()
    assert (apple.id, apple.title, apple.category) == ("p0", "Granny Smith", "Fruit > Apple")
    assert apple.attributes == {"section": "Fruit", "brand": None, "country": None}
    assert cream.attributes == {"section": "Packages", "brand": "Arla Ko", "country": "Sweden"}
    assert shop.picture(apple.picture or "") == picture_bytes()
    events = list(shop.events())
    photos = [event for event in events if event.picture]
    assert [(photo.picture, photo.item, photo.query, photo.split) for photo in photos] == [
        ("natural/0000.jpg", "p0", "", "train"),
        ("natural/0001.jpg", "p1", "", "val"),
    ]
    assert {event.item for event in events if event.query == "green apple"} == {"p0"}
    assert summary == ImportSummary(2, len(events), 4, Counter({"photo missing": 1}))
    assert seen[-1] == (seen[-1][1], seen[-1][1])
    # as `mrse import --json` prints it
    assert asdict(summary)["skipped"] == {"photo missing": 1}


def test_the_example_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grocery_repository(tmp_path / "GroceryStoreDataset")
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(build(), shlex.split(examples()["import"])[1:]).exit_code == 0
    assert sound(tmp_path / "grocery-shop").count_items() > 0


def test_esci_cut(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_csv(
        source / "products.csv.gz", ("product_id", "title"), ("a", "Spot, 20W"), ("b", "Doll"), ("c", " ")
    )
    write_csv(source / "queries.csv.gz", ("query_id", "query"), ("q0", "spotlight"), ("q1", "dolls"))
    labels = [
        ("q0", "a", "E", "MPC"),
        ("q0", "b", "I", "MPC"),
        ("q1", "b", "S", "PSI"),
        ("q1", "a", "notS", "PSI"),
    ]
    write_csv(
        source / "labels.csv.gz",
        ("query_id", "product_id", "label", "task"),
        *labels,
        ("q1", "c", "E", "MPC"),
    )
    summary = import_esci(source, tmp_path / "shop")
    events = list(sound(tmp_path / "shop").events())
    assert [(event.query, event.item, event.action, event.relevance) for event in events] == [
        ("spotlight", "a", "click", 1.0),
        ("spotlight", "b", "impression", 0.0),
        ("dolls", "b", "impression", 0.1),
        ("dolls", "a", "impression", None),
    ]
    assert len({(event.query, event.split) for event in events}) == 2
    skipped = Counter({"product without a title": 1, "label of a product that is not there": 1})
    assert summary == ImportSummary(2, 4, 0, skipped)


def test_esci_published(tmp_path: Path) -> None:
    folder = tmp_path / "source" / "shopping_queries_dataset"
    folder.mkdir(parents=True)
    products = {
        "product_id": ["a", "b", "a", "d"],
        "product_title": ["Spot", "Doll", "Foco", None],
        "product_description": ["bright", None, None, None],
        "product_bullet_point": [None, "soft", None, None],
        "product_brand": ["Acme", None, None, None],
        "product_color": [None, "red", None, None],
        "product_locale": ["us", "us", "es", "us"],
    }
    pq.write_table(pa.table(products), folder / "shopping_queries_dataset_products.parquet")
    examples = {
        "query": ["spotlight", "foco", "dolls"],
        "product_id": ["a", "a", "b"],
        "product_locale": ["us", "es", "us"],
        "esci_label": ["E", "E", "C"],
        "split": ["train", "train", "test"],
    }
    pq.write_table(pa.table(examples), folder / "shopping_queries_dataset_examples.parquet")
    summary = import_esci(tmp_path / "source", tmp_path / "shop")
    shop = sound(tmp_path / "shop")
    assert [(item.title, item.description) for item in shop.items()] == [("Spot", "bright"), ("Doll", "soft")]
    assert [item.attributes for item in shop.items()] == [
        {"brand": "Acme", "color": None},
        {"brand": None, "color": "red"},
    ]
    events = list(shop.events())
    assert [(event.query, event.relevance) for event in events] == [("spotlight", 1.0), ("dolls", 0.01)]
    assert events[1].split == "test"
    assert summary.skipped == {"product without a title": 1}
    # what a clone without git-lfs has
    (folder / "shopping_queries_dataset_products.parquet").write_text("version https://git-lfs\n")
    with pytest.raises(DataError, match="git lfs pull"):
        import_esci(tmp_path / "source", tmp_path / "other")
    assert not list((tmp_path / "other").iterdir())


def test_online_retail_cut(tmp_path: Path) -> None:
    source = tmp_path / "source"
    columns = ("stock_code", "description", "n_rows", "median_price_gbp")
    write_csv(source / "items.csv.gz", columns, ("10002", "GLOBE", 2, 0.85), ("10080", "CACTUS", 1, 0.39))
    write_csv(
        source / "purchases.csv.gz",
        ("customer_id", "ts", "invoice_no", "stock_code", "quantity", "unit_price_gbp", "country"),
        ("c1", "2011-01-18 10:01", "501", "10002", 1, 0.85, "UK"),
        ("c1", "2011-02-18 10:01", "502", "10002", 1, 0.85, "UK"),
        ("c1", "2011-02-18 10:01", "502", "10080", 1, 0.39, "UK"),
        ("c2", "2010-12-16 19:09", "400", "10080", 1, 0.39, "UK"),
        ("c2", "2010-12-16 19:09", "400", "99999", 1, 0.39, "UK"),
    )
    summary = import_online_retail(source, tmp_path / "shop")
    shop = sound(tmp_path / "shop")
    assert [item.attributes["price"] for item in shop.items()] == [0.85, 0.39]
    events = list(shop.events())
    assert [(event.user, event.item, event.split) for event in events] == [
        ("c1", "10002", "train"),
        ("c1", "10002", "test"),
        ("c1", "10080", "test"),
        ("c2", "10080", "test"),
    ]
    assert {(event.action, event.query) for event in events} == {("order", "")}
    assert summary == ImportSummary(2, 4, 0, Counter({"purchase of an item that is not there": 1}))


@pytest.mark.parametrize("second_edition", [False, True])
def test_online_retail_published(tmp_path: Path, second_edition: bool) -> None:
    header = (
        "InvoiceNo",
        "StockCode",
        "Description",
        "Quantity",
        "InvoiceDate",
        "UnitPrice",
        "CustomerID",
        "Country",
    )
    if second_edition:
        header = (
            "Invoice",
            "StockCode",
            "Description",
            "Quantity",
            "InvoiceDate",
            "Price",
            "Customer ID",
            "Country",
        )
    first, second = "12/1/2010 8:26", "2010-12-13 09:00:00"
    rows = [
        ("536365", "85123A", "WHITE HEART £5", 6, first, 2.55, "17850.0", "UK"),
        ("536365", "71053", "LANTERN", 6, first, 3.39, "17850.0", "UK"),
        ("536370", "85123a", "WHITE HEART £5", 6, second, 2.95, "17850.0", "UK"),
        ("C536379", "71053", "LANTERN", -1, second, 3.39, "17850.0", "UK"),
        ("536380", "POST", "POSTAGE", 1, second, 18, "17850.0", "UK"),
        ("536381", "71053", "LANTERN", 1, second, 3.39, "", "UK"),
        ("536382", "71054", "", 1, second, 3.39, "17851.0", "UK"),
    ]
    write_csv(tmp_path / "source" / "online_retail.csv", header, *rows, encoding="latin-1")
    summary = import_online_retail(tmp_path / "source", tmp_path / "shop")
    shop = sound(tmp_path / "shop")
    assert [(item.id, item.title, item.attributes["price"]) for item in shop.items()] == [
        ("71053", "LANTERN", 3.39),
        ("85123A", "WHITE HEART £5", 2.75),
    ]
    assert [(event.ts, event.item, event.user, event.split) for event in shop.events()] == [
        (datetime(2010, 12, 1, 8, 26, tzinfo=UTC), "85123A", "17850", "train"),
        (datetime(2010, 12, 1, 8, 26, tzinfo=UTC), "71053", "17850", "train"),
        (datetime(2010, 12, 13, 9, 0, tzinfo=UTC), "85123A", "17850", "test"),
    ]
    assert summary.skipped == {
        "cancelled purchase": 1,
        "postage, fee or correction": 1,
        "purchase without a customer": 1,
        "purchase without a description": 1,
    }


def test_online_retail_workbook_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "Online Retail.xlsx").touch()
    with pytest.raises(DataError, match="export it as CSV"):
        import_online_retail(tmp_path, tmp_path / "shop")


def clothing_cut(source: Path) -> None:
    columns = ("item_id", "image", "class", "split", "width", "height")
    rows = [("c1", "1.jpg", "dress", "train", 8, 8), ("c2", "2.jpg", "t-shirt", "train", 8, 8)]
    write_csv(source / "items.csv.gz", columns, *rows, ("c3", "3.jpg", "t-shirt", "train", 8, 8))
    write_zip(source / "images.zip", "1.jpg", "2.jpg")


def clothing_repository(source: Path) -> None:
    write_picture(source / "train/dress/c1.jpg")
    write_picture(source / "validation/t-shirt/c2.jpg")
    (source / "train/README.md").touch()


@pytest.mark.parametrize(("layout", "missing"), [(clothing_cut, 1), (clothing_repository, 0)])
def test_clothing(tmp_path: Path, layout: Callable[[Path], None], missing: int) -> None:
    layout(tmp_path / "source")
    summary = import_clothing(tmp_path / "source", tmp_path / "shop")
    shop = sound(tmp_path / "shop")
    assert [(item.id, item.title, item.category, item.picture) for item in shop.items()] == [
        ("c1", "", "dress", "dress/c1.jpg"),
        ("c2", "", "t-shirt", "t-shirt/c2.jpg"),
    ]
    assert (summary.items, summary.events, summary.pictures) == (2, 0, 2)
    assert summary.skipped.get("photo missing", 0) == missing


@pytest.mark.parametrize("importer", [import_grocery, import_esci, import_online_retail, import_clothing])
def test_unknown_layout(tmp_path: Path, importer: Callable[[Path, Path], ImportSummary]) -> None:
    for source in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match="no layout that can be imported, expected") as caught:
            importer(source, tmp_path / "shop")
        assert caught.value.code == "layout"
    assert not (tmp_path / "shop").exists()


def test_damaged_source_leaves_no_shop(tmp_path: Path) -> None:
    source = tmp_path / "source"
    grocery_cut(source)
    (source / "images.zip").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"images\.zip: is no zip"):
        import_grocery(source, tmp_path / "shop")
    (source / "products.csv.gz").write_bytes(gzip.compress(b"product_id,name\n1,x\n"))
    with pytest.raises(DataError, match=r"products\.csv\.gz:1: category, .* no column"):
        import_grocery(source, tmp_path / "shop")
    assert not (tmp_path / "shop").exists()


@pytest.mark.parametrize("number", ["one", "", "1.0", "-1", "9" * 5000, "²"])
def test_a_product_id_that_is_no_number_is_told(tmp_path: Path, number: str) -> None:
    source = tmp_path / "source"
    grocery_cut(source)
    columns = ("product_id", "name", "section", "category", "description", "manufacturer_volume", "country")
    good = (0, "Granny Smith", "Fruit", "Apple", "Granny Smith is a green apple.", "", "")
    write_csv(source / "products.csv.gz", columns, good, (number, *good[1:]))
    with pytest.raises(
        DataError, match=r"products\.csv\.gz:3: product_id is .*, expected the number"
    ) as told:
        import_grocery(source, tmp_path / "shop")
    assert (told.value.code, len(str(told.value)) < 400) == ("wrong-type", True)
    assert not (tmp_path / "shop").exists()


@pytest.mark.parametrize("price", ["dear", "nan", "1e999"])
def test_a_price_that_is_no_number_is_told(tmp_path: Path, price: str) -> None:
    write_csv(
        tmp_path / "items.csv.gz", ("stock_code", "description", "median_price_gbp"), ("10001", "a", price)
    )
    write_csv(tmp_path / "purchases.csv.gz", ("customer_id", "ts", "invoice_no", "stock_code"))
    with pytest.raises(DataError, match=r"items\.csv\.gz:2: median_price_gbp is .*, expected a number"):
        import_online_retail(tmp_path, tmp_path / "shop")


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not here")
@pytest.mark.parametrize(
    ("importer", "folder", "expected"),
    [
        (import_grocery, "grocery", (81, 3017)),
        (import_esci, "esci_pairs", (3982, 0)),
        (import_online_retail, "online_retail", (3659, 0)),
        (import_clothing, "clothing_cc0", (3409, 3409)),
    ],
)
def test_real_data(
    tmp_path: Path, importer: Callable[[Path, Path], ImportSummary], folder: str, expected: tuple[int, int]
) -> None:
    summary = importer(DATA / folder, tmp_path)
    assert (summary.items, summary.pictures) == expected
    assert summary.skipped == {}
    shop = sound(tmp_path)
    assert (shop.count_items(), sum(1 for _ in shop.events())) == (summary.items, summary.events)
    if folder == "grocery":
        texts = {
            split: {event.query for event in shop.events() if event.split == split}
            for split in ("train", "val")
        }
        assert texts["train"] & texts["val"] == {""}
