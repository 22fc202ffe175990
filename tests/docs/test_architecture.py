"""What docs/architecture.md names is there: files, folders, commands, and the layers as they are checked."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from cli.main import build

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
PACKAGES = ("artifacts", "cli", "common", "devtools", "index", "models", "producer", "service", "tests")


@pytest.mark.parametrize("path", sorted(set(re.findall(rf"`((?:{'|'.join(PACKAGES)})/[\w/.]*)`", PAGE))))
def test_every_path_exists(path: str) -> None:
    assert (ROOT / path).exists(), path


def test_every_command_exists() -> None:
    commands = {group.name or "" for group in build().registered_groups}
    commands |= {each.name or each.callback.__name__ for each in build().registered_commands if each.callback}
    named = set(re.findall(r"mrse ([a-z]+)", PAGE))
    assert named <= commands, named - commands


def test_the_layers_are_those_that_are_checked() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if each["type"] == "layers")
    rows = re.findall(r"^\| (\d) \| `(\w+)/`", PAGE, re.MULTILINE)
    assert len(rows) == len(PACKAGES) - len(("devtools", "tests"))
    for number, folder in rows:
        assert folder in layers[int(number) - 1].split(" | "), folder


def test_every_part_of_the_service_is_on_the_page() -> None:
    section = PAGE.split("### Inside `service/`")[1].split("\n## ")[0]
    named = set(re.findall(r"`([\w.]+)/?`", section))
    for folder in ("", "process", "http", "admission", "access", "query"):
        parts = {each.stem for each in (ROOT / "service" / folder).iterdir() if _is_part(each)}
        assert parts <= named, (folder, parts - named)
    there = {each.stem for each in (ROOT / "service").rglob("*")}
    assert named <= there, named - there


def _is_part(path: Path) -> bool:
    return (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file()


def test_every_folder_says_what_is_in_it() -> None:
    for folder in ("service", "service/process", "service/admission", "service/access", "index/embedded"):
        plan = (ROOT / folder / "__init__.py").read_text(encoding="utf-8").split('"""')[1]
        for part in (ROOT / folder).iterdir():
            if _is_part(part):
                assert re.search(rf"\b{part.stem}\b", plan), part


def test_every_folder_of_the_code_is_on_the_page() -> None:
    for package in ("artifacts", "index", "models", "service"):
        for folder in (ROOT / package).iterdir():
            if (folder / "__init__.py").is_file():
                assert f"`{folder.name}`" in PAGE or f"/{folder.name}/" in PAGE, folder
