"""The registry of engines: what is known of one before its libraries are loaded."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import index.engines
from index.engine import Engine, EngineSettings, IndexOpenError, OpenedIndex
from index.engines import ENGINES, register
from tests.index.adapters import ADAPTERS


def test_knowing_the_engines_loads_none_of_their_libraries() -> None:
    check = "import sys, index.engines; print(*{'faiss', 'httptools', 'pyarrow', 'numpy'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert shown.stdout.split() in (["numpy"], [])


@pytest.mark.parametrize("name", ENGINES)
def test_what_is_loaded_ahead_is_all_that_opening_needs(name: str) -> None:
    check = (
        "import sys, pathlib, importlib\n"
        f"from index.engines import ENGINES; engine = ENGINES[{name!r}]\n"
        "for module in engine.preload: importlib.import_module(module)\n"
        "before = {each for each in sys.modules if each.startswith('index.')}\n"
        f"table = engine.settings(**({{'url': 'http://x'}} if {name!r} == 'vespa' else {{}}))\n"
        "try: engine.open(pathlib.Path('nowhere'), table, queue=1)\n"
        "except Exception as error: print(type(error).__name__)\n"
        "print(*{each for each in sys.modules if each.startswith('index.')} - before)\n"
    )
    shown = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["IndexOpenError"]


@pytest.mark.parametrize("name", ENGINES)
def test_an_index_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    engine = ENGINES[name]
    table = engine.settings(**({"url": "http://vespa:8080"} if name == "vespa" else {}))
    with pytest.raises(IndexOpenError, match="nowhere"):
        engine.open(tmp_path / "nowhere", table, queue=1)
    for module in engine.preload:
        importlib.import_module(module)


def test_vespa_without_an_address_says_where_one_is_set(tmp_path: Path) -> None:
    engine = ENGINES["vespa"]
    with pytest.raises(IndexOpenError, match="MRSE_VESPA_URL"):
        engine.open(tmp_path, engine.settings(), queue=1)
    with pytest.raises(IndexOpenError, match="nowhere"):
        engine.open(tmp_path / "nowhere", engine.settings(url="http://x"), queue=1)


def test_every_engine_is_put_through_the_contract_suite() -> None:
    assert {adapter.name.partition("-")[0] for adapter in ADAPTERS} == set(ENGINES)


class _Toy(Engine[EngineSettings]):
    name = "toy"
    settings = EngineSettings

    def open(self, path: Path, settings: EngineSettings, *, queue: int) -> OpenedIndex:
        raise IndexOpenError(f"{path}: only a toy")


def test_an_engine_is_registered_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.engines.ENGINES", dict(ENGINES))
    register(_Toy())
    assert list(index.engines.ENGINES) == ["embedded", "vespa", "toy"]
