"""The entry point: help with examples, extensions, errors as one line and an exit code."""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from cli.demo_files import demo_bundle
from cli.extras import EXTRAS
from cli.main import build
from common.build import service_version
from devtools.reference.commands import command_at
from tests.support.command import ROOT, mrse, mrse_here

whole = cache(build)


def commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []

    def walk(group: typer.Typer, path: tuple[str, ...]) -> None:
        for command in group.registered_commands:
            assert command.callback is not None
            found.append((*path, command.name or command.callback.__name__.rstrip("_").replace("_", "-")))
        for inner in group.registered_groups:
            assert inner.typer_instance is not None
            walk(inner.typer_instance, (*path, str(inner.name)))

    walk(whole(), ())
    return found


def test_the_commands_are_those_of_the_readme() -> None:
    wanted = "shop make,import,check,train,export,embed,index build,serve,recall,doctor,evaluate,demo"
    assert {tuple(name.split()) for name in wanted.split(",")} <= set(commands())


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_help_has_an_example_and_whole_names_at_80_columns(path: tuple[str, ...]) -> None:
    app = whole()
    shown = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "80", "NO_COLOR": "1"})
    assert shown.exit_code == 0, shown.output
    assert f"mrse {' '.join(path)}" in shown.output.split("Example:")[1]
    for option in command_at(typer.main.get_command(app), " ".join(path)).params:
        if option.opts[0].startswith("--"):
            assert f"{option.opts[0]} " in shown.output


def test_it_says_which_version_it_is(tmp_path: Path) -> None:
    done = mrse("--version", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"mrse-recall {service_version()}, Python {platform.python_version()}\n"


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    code = "import sys; from cli.main import build; build(); print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "faiss", "onnxruntime", "pyarrow", "fastapi", "numpy"} & set(loaded)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nonsense"], 2, "No such command"),
        (["shop", "make", "x", "--items", "3"], 2, "items"),
        (["check", "nowhere"], 2, "nowhere"),
        (["embed", ".", "--bundle", ".", "--out", "x"], 2, "shop.toml"),
        (["serve", "--bundle", "nowhere", "--index", "nowhere", "--port", "0"], 2, "nowhere"),
        (["serve", "--index", "nowhere"], 2, "no bundle: give --bundle FOLDER, or set MRSE_BUNDLE_PATH"),
        (["serve", "--bundle", "nowhere", "--workers", "2"], 2, "no index: give --index FOLDER"),
        (
            ["serve", "--bundle", "x", "--index", "x", "--host", "192.0.2.1"],
            1,
            "cannot listen on 192.0.2.1:8080: Cannot assign requested address; is it an address of this",
        ),
        (["serve", "--config", "nowhere.toml"], 2, "nowhere.toml"),
        (["index", "build", str(ROOT / "tests"), "--out", str(ROOT / "cli")], 2, "is no index folder"),
        (["recall", "shoes", "--url", "http://127.0.0.1:9"], 1, "Is the service running?"),
        (["recall", "shoes", "--filters", "{"], 2, "not JSON"),
        (["train", ".", "--out", "x", "--set", "nonsense"], 2, "name=value"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(arguments: list[str], code: int, said: str, tmp_path: Path) -> None:
    done = mrse_here(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    if said.startswith("no "):  # nothing was started, and so nothing logged
        assert len(done.stderr.splitlines()) == 1
    assert not done.stdout


def write_shop(shop: Path, action: str = "click") -> None:
    shop.mkdir()
    (shop / "shop.toml").write_text('name = "s"\n')
    (shop / "items.csv").write_text("id,title\na,cup\n")
    (shop / "events.csv").write_text(f"ts,item,action,user,query\n2026-01-01T00:00:00Z,a,{action},u,cup\n")


def test_an_action_of_an_extension_is_read_from_a_log(tmp_path: Path) -> None:
    write_shop(tmp_path / "shop", action="wish")
    (tmp_path / "team_wish.py").write_text(
        "from artifacts.actions import ACTIONS, Action\nACTIONS.register(Action('wish'))\n"
    )
    without = mrse("check", "shop", cwd=tmp_path, path=tmp_path)
    assert "expected one of impression, click, cart, order\n" in without.stdout
    done = mrse("check", "shop", cwd=tmp_path, path=tmp_path, MRSE_EXTENSIONS="team_wish")
    assert (done.returncode, done.stderr) == (0, "no problems\n")
    told = mrse("produce", "follow", "--help", cwd=tmp_path, path=tmp_path, MRSE_EXTENSIONS="team_wish")
    assert "action (click, cart, order or wish)" in told.stdout


def test_an_extension_that_is_missing_is_one_line(tmp_path: Path) -> None:
    done = mrse("check", ".", cwd=tmp_path, path=tmp_path, MRSE_EXTENSIONS="no_such_team")
    assert done.returncode == 2
    assert done.stderr == "error: MRSE_EXTENSIONS: no_such_team: No module named 'no_such_team'\n"


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("torch", ["train", "shop", "--out", "run"]),
        ("torch", ["export", "shop", "--out", "bundles"]),
        ("torch", ["ablate", "shop", "--out", "ablation"]),
        ("onnxruntime", ["embed", "shop", "--bundle", "BUNDLE", "--out", "embeddings"]),
        (
            "onnxruntime",
            ["produce", "queries", "shop", "--bundle", "BUNDLE", "--redis", "redis://127.0.0.1:9"],
        ),
        ("onnxruntime", ["demo", "--port", "18999"]),
    ],
)
def test_a_missing_extra_is_one_line(module: str, arguments: list[str], tmp_path: Path) -> None:
    write_shop(tmp_path / "shop")
    (tmp_path / f"{module}.py").write_text(
        f"raise ModuleNotFoundError('No module named {module}', name='{module}')"
    )
    bundle = str(demo_bundle())
    done = mrse(*(bundle if a == "BUNDLE" else a for a in arguments), cwd=tmp_path, path=tmp_path)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1] == (
        f"error: this needs {module}, which is not installed; `make dev` installs it"
    )
    assert "Traceback" not in done.stderr


def test_a_shop_is_checked_without_any_extra(tmp_path: Path) -> None:
    write_shop(tmp_path / "shop")
    for module in EXTRAS:
        (tmp_path / f"{module}.py").write_text(f"raise ModuleNotFoundError('{module}', name='{module}')")
    done = mrse("check", "shop", cwd=tmp_path, path=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
