"""What pages name is there: commands and their options, keys, variables, tables, targets, snippets."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer.main

from artifacts.shop.check import check_shop
from cli.main import COMMANDS, build
from cli.release.plan import read_plan
from devtools.pages import PAGES, ROOT, blocks
from devtools.reference.commands import command_at
from devtools.reference.keys import flat
from index.vespa.package.layout import Layout
from service.access.keyfile import read_keys
from service.http.schemas import RecallRequest
from service.recall.controls.rules import read_rules
from service.settings import load_settings

SHOP = 'name = "acme"\n[attributes]\nprice = "number"\nin_stock = "bool"\nbrand = "string"\n'


@pytest.fixture(scope="module")
def root() -> Any:
    return typer.main.get_command(build())


def in_order(shop: Path) -> bool:
    return all(problem.harmless for problem in check_shop(shop))


def said(page: str) -> list[str]:
    """Every command line of a page: lines of blocks, continued ones joined, and what stands in backticks."""
    shell = "\n".join(blocks(page, "sh")).replace("\\\n", " ")
    bare = re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL)
    return [*shell.splitlines(), *re.findall(r"`(mrse [^`]*)`", bare.replace("\n", " "))]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_option_exists(page: str, root: Any) -> None:
    for line in said(page):
        found = re.search(r"(?:^|\s)mrse ([a-z].*)$", line)
        if found is None or "|" in found[1].split("--")[0] or found[1].startswith("command"):
            continue
        try:
            words = shlex.split(found[1], comments=True)
        except ValueError:  # an abbreviated line in the text, as with an open quote
            words = found[1].split()
        name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
        if name not in COMMANDS:
            assert any(each.startswith(f"{name} ") for each in COMMANDS), f"{page}: {line}"
            continue
        options = {each for one in command_at(root, name).params for each in (*one.opts, *one.secondary_opts)}
        for word in words:
            if word.startswith("--") and word != "--":
                assert word.partition("=")[0] in options | {"--help"}, f"{page}: {line}"


def test_every_target_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", "\n".join(PAGES.values()))) <= targets


def test_every_key_that_is_set_exists() -> None:
    known = set(re.findall(r"^\| `([\w.]+)` \|", PAGES["docs/reference/config.md"], re.MULTILINE))
    for page, text in PAGES.items():
        ours = "\n".join(line for line in text.splitlines() if not line.startswith("helm "))
        for key in re.findall(r"--set ([a-z0-9_.]+)=", ours):
            assert key in known, f"{page}: {key}"


def test_every_variable_exists() -> None:
    settings = {f"MRSE_{key.upper().replace('.', '_')}" for key in flat(load_settings().model_dump())}
    tables = {f"MRSE_{key.upper()}" for key in load_settings().model_dump()}
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in (
            "artifacts",
            "cli",
            "common",
            "index",
            "producer",
            "service",
            "client",
            "tests/browser",
        )
        for path in (ROOT / folder).rglob("*.[pt][ys]")
        if "node_modules" not in path.parts
    )
    for page, text in PAGES.items():
        for name in set(re.findall(r"\bMRSE_[A-Z0-9_]*[A-Z0-9]\b(?!_?<|_?…)", text)):
            bare = name.removesuffix("_FILE")
            assert bare in settings | tables or re.search(rf"\b{name}\b", code), f"{page}: {name}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "toml")])
def test_every_block_of_toml_is_read(page: str, tmp_path: Path) -> None:
    settings = []  # of one page together: what one block names another may describe
    file = tmp_path / "file.toml"
    for block in blocks(page, "toml"):
        written = tomllib.loads(block)
        file.write_text(block, encoding="utf-8")
        if "attributes" in written:
            (tmp_path / "shop.toml").write_text(block, encoding="utf-8")
            (tmp_path / "items.csv").write_text("id,title,price,in_stock\ni1,Red shoe,9.5,true\n")
            assert in_order(tmp_path)
        elif written.keys() & {"work", "services", "exposed"}:
            least = "" if "work" in written else 'shop = "shop"\nconfig = "mrse.toml"\nwork = "releases"\n'
            file.write_text(least + block, encoding="utf-8")
            assert read_plan(file)
        elif "config" in written:
            assert Layout.read(file)
        elif "key" in written:
            assert read_keys(file)
        else:
            settings.append(block)
    if settings:
        file.write_text("\n".join(settings), encoding="utf-8")
        assert load_settings(file)


def test_the_requests_of_the_page_are_some(tmp_path: Path) -> None:
    whole, *others = blocks("docs/requests.md", "json")
    assert RecallRequest.model_validate_json(whole).k == 200
    for block in others:
        if "rules" in json.loads(block):
            (tmp_path / "rules.json").write_text(block)
            assert read_rules(tmp_path / "rules.json")
        else:
            assert RecallRequest.model_validate_json(block)


def test_the_image_has_one_name_everywhere() -> None:
    """What `make docker` builds is what compose, the chart's page and the night's call it."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for page, text in {**PAGES, "compose": (ROOT / "docker-compose.yml").read_text()}.items():
        tags = re.findall(r"mrse-recall(?::|, tag: \")(\d+\.[\w.-]+)", text)
        assert set(tags) <= {version, f"{version}-gpu"}, page
        assert not re.search(r"(?:image:|-t) mrse-recall\s", text), page


def test_every_page_has_a_place_in_the_site() -> None:
    """`make docs` refuses a page without one; who has not the site's tools learns it here."""
    listed = re.findall(
        r"(?::|-) (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE
    )
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert pages <= set(listed), pages - set(listed)
    assert len(set(listed)) == len(listed)


def test_the_shop_of_lightfm_s_page_is_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (snippet,) = blocks("docs/from-lightfm.md", "python")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(snippet, names)
    matrix = SimpleNamespace(shape=(2, 2), row=[0, 1], col=[1, 0])  # as scipy's coo_matrix
    names["shop_of"](matrix, ["Shoe", "Hat"], ["u1", "u2"], ["i1", "i2"], [1.7e9, 1.7e9 + 60])
    (tmp_path / "shop.toml").write_text('name = "acme"\n')
    assert in_order(tmp_path)


def test_the_shop_of_elasticsearch_s_page_is_in_order(tmp_path: Path) -> None:
    (snippet,) = blocks("docs/from-elasticsearch.md", "python")
    names: dict[str, Any] = {}
    exec(snippet, names)
    source = {
        "title": "Shoe",
        "categories": ["Shoes", "Running"],
        "price": 9.5,
        "in_stock": True,
        "brand": "acme",
    }
    lines = [{"_id": "i1", "_source": source}, {"_id": "i2", "_source": {"title": "Hat"}}]
    (tmp_path / "dump").write_text("\n".join(json.dumps(each) for each in lines))
    names["items_of"](tmp_path / "dump", tmp_path / "items.jsonl")
    (tmp_path / "shop.toml").write_text(SHOP)
    assert in_order(tmp_path)


def test_what_the_readme_held_is_on_a_page() -> None:
    """The headings and bold words of the README of before, when it was all there was."""
    headings = {
        heading.strip("` ")
        for text in PAGES.values()
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    for was in (
        *(
            "Words",
            "Routes",
            "Filters",
            "What a shop wants beside",
            "Merging",
            "Columns",
            "Deadline",
            "Errors",
        ),
        *("Arms", "What an experiment came to", "Live changes", "Items by content", "Events", "Backups"),
        *("Settings", "Workers", "Probes and the end", "Keys", "Watching it", "The model", "A shop", "Speed"),
        *("Each part against leaving it out", "Text alone: real shopping queries", "Pictures: real photos"),
        *("History alone: the next basket", "The shipped bundle", "Many machines: Vespa", "Train"),
        *("Ahead of the queries: Embed-Producer", "Ten minutes with your own shop"),
    ):
        assert was in headings, was


def test_make_lets_python_keep_what_it_compiled() -> None:
    """Without that every process of ours compiles torch once more, which takes it seconds."""
    asked = ["make", "--eval", 'told: ; @echo "[$$PYTHONDONTWRITEBYTECODE]"', "told"]
    # What an outer make was told is not for this one.
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment = outside | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(asked, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
