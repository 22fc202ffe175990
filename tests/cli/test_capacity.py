"""`mrse capacity`: more needs no less, what does not fit is said, and what is measured is used."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from socket import create_server

import pytest
from typer.testing import CliRunner

from artifacts.bundle import Bundle
from cli.capacity.constants import CapacityError, Constants, Machine, Measured, read_constants
from cli.capacity.measure import measure
from cli.capacity.model import Load, reckon, search_ms
from cli.main import build
from common.progress import silent
from devtools.pages import blocks, elsewhere
from index.embedded.build import build_index
from tests.support import shop

CONSTANTS = Constants(
    machine=Machine(cpu="any", cores=2, measured="2026-01-01"),
    measured=Measured(
        items=200_000, kind="flat_fp16", index_bytes=1000, worker_mb=100, shared_mb=200, hit_ms=1,
        history_ms=4, miss_ms=6, search_ms=2, embed_ms=5, features=192, history=20,
    ),
)  # fmt: skip
LOAD = Load(items=1e6, qps=1000, hit_ratio=0.5, history=0.5, users=1e6, queries=1e5, cores=8, memory_gb=32)


def test_a_load_is_reckoned_as_by_hand() -> None:
    found = reckon(LOAD, CONSTANTS)
    searched = 2 * 5**0.5  # lists: as the root of the items
    assert search_ms(1e6, CONSTANTS) == pytest.approx(searched)
    assert search_ms(1e5, CONSTANTS) == pytest.approx(1)
    cpu = 0.25 * 1 + 0.25 * (4 - 2) + 0.5 * ((6 - 2) + 0.5 * (4 - 2)) + 0.75 * searched
    assert found.embedded.cpu_ms == pytest.approx(cpu)
    assert found.embedded.replicas == 2  # 6.6 s of CPU a second, 4 of each machine
    assert found.embedded.memory_gb == pytest.approx(8 * 0.1 + 0.2 + 2 * 1.0)
    assert found.redis_gb == pytest.approx((1e5 * (384 + 160) + 1e6 * (20 * (384 + 32) + 160)) / 1e9)
    assert found.vespa.nodes == 1  # two versions of 0.74 GB in 60% of 32 GB
    assert found.vespa.groups == 6  # 1000 / (45 * 8 * 0.5)
    assert found.engine == "embedded"
    assert found.embed_hours == pytest.approx(1e6 * 0.005 / 8 / 3600)


@pytest.mark.parametrize("more", ["items", "qps", "users", "queries"])
def test_more_needs_no_less(more: str) -> None:
    few, many = (reckon(replace(LOAD, **{more: value}), CONSTANTS) for value in (1e5, 3e6))
    assert (few.embedded.replicas or 0) <= (many.embedded.replicas or 10**9)
    assert few.redis_gb <= many.redis_gb
    assert few.vespa.groups * few.vespa.nodes <= many.vespa.groups * many.vespa.nodes


def test_what_fits_no_machine_is_for_vespa() -> None:
    found = reckon(replace(LOAD, items=1e9), CONSTANTS)
    assert (found.engine, found.embedded.replicas) == ("vespa", None)
    shown = CliRunner().invoke(build(), ["capacity", "--items", "1e9"], env={"COLUMNS": "100"})
    assert "it does not fit" in shown.output
    assert "advised: Vespa" in shown.output


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hit_ratio": 1.5}, "hit_ratio is from 0 to 1"),
        ({"items": float("inf")}, "at most 1e12"),
        ({"busy": 0}, "busy"),
    ],
)
def test_loads_that_there_are_none_of(change: dict[str, float], said: str) -> None:
    with pytest.raises(CapacityError, match=said):
        replace(LOAD, **change)  # type: ignore[arg-type]


def test_constants_that_cannot_be_used_are_said(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text("{}")
    with pytest.raises(CapacityError, match="`mrse capacity --measure` writes one"):
        read_constants(file)
    file.write_text(CONSTANTS.model_copy(update={"format": 2}).model_dump_json())
    with pytest.raises(CapacityError, match="is of format 2; this version reads 1"):
        read_constants(file)


def test_options_that_belong_to_measuring(tmp_path: Path) -> None:
    done = CliRunner().invoke(build(), ["capacity", "--measure"])
    assert done.exit_code == 2
    assert "--measure needs --bundle, --index and --out" in done.stderr
    done = CliRunner().invoke(build(), ["capacity", "--out", str(tmp_path / "x")])
    assert done.exit_code == 2


def test_the_command_of_the_page() -> None:
    (command,) = blocks("docs/sizing.md", "sh", run=True)
    shown = CliRunner().invoke(build(), shlex.split(command)[1:], env={"COLUMNS": "80"})
    assert shown.exit_code == 0
    assert "advised: the embedded index" in shown.output


def test_it_measures_a_service_that_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the commands of the page, with fewer recalls."""
    (block,) = elsewhere("docs/sizing.md", "tests/cli/test_capacity.py")
    commands = [shlex.split(line.replace("acme-*", "acme-1"))[1:] for line in block.splitlines()]
    (tmp_path / "bundles").mkdir()
    bundle: Bundle = shop.bundle(tmp_path / "bundles/acme-1")
    shop.write_embeddings(bundle, tmp_path / "embeddings")
    build_index(tmp_path / "embeddings", tmp_path / "index")
    with create_server(("127.0.0.1", 0)) as probes:  # as in a pod, beside the service that runs there
        monkeypatch.setenv("MRSE_SERVER_PROBE_PORT", str(probes.getsockname()[1]))
        monkeypatch.setenv("MRSE_ACCESS_KEYS", str(tmp_path / "keys.toml"))
        monkeypatch.chdir(tmp_path)
        for command in (commands[0] + ["--requests", "50"], commands[1] + ["--json"]):
            done = CliRunner().invoke(build(), command)
            assert done.exit_code == 0, done.output
    found = read_constants(tmp_path / "capacity.json")
    own = found.measured
    assert (own.items, own.kind, own.features, own.history) == (60, "flat_fp16", 48, 8)
    assert own.worker_mb > 10
    assert min(own.hit_ms, own.history_ms, own.miss_ms, own.embed_ms) > 0
    assert json.loads(done.stdout)["measured_on"] == found.machine.model_dump()
    with pytest.raises(CapacityError, match="the service did not come up"):
        measure(bundle.path, tmp_path / "embeddings", 30, silent)
