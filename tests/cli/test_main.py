"""The entry point: extensions come first; what a person can mend is one line and an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.demo_files import demo_bundle
from cli.extras import EXTRAS

ROOT = Path(__file__).parents[2]


def mrse(*arguments: str, path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", "from cli.main import main; main()", *arguments],
        cwd=path,
        env=os.environ | {"PYTHONPATH": f"{path}{os.pathsep}{ROOT}", "NO_COLOR": "1"} | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


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
    without = mrse("check", "shop", path=tmp_path)
    assert "expected one of impression, click, cart, order\n" in without.stdout
    done = mrse("check", "shop", path=tmp_path, MRSE_EXTENSIONS="team_wish")
    assert (done.returncode, done.stderr) == (0, "no problems\n")
    told = mrse("produce", "follow", "--help", path=tmp_path, MRSE_EXTENSIONS="team_wish", COLUMNS="200")
    assert "action (click, cart, order or wish)" in told.stdout


def test_an_extension_that_is_missing_is_one_line(tmp_path: Path) -> None:
    done = mrse("check", ".", path=tmp_path, MRSE_EXTENSIONS="no_such_team")
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
    done = mrse(*(bundle if a == "BUNDLE" else a for a in arguments), path=tmp_path)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1] == (
        f"error: this needs {module}, which is not installed; `make dev` installs it"
    )
    assert "Traceback" not in done.stderr


def test_a_shop_is_checked_without_any_extra(tmp_path: Path) -> None:
    write_shop(tmp_path / "shop")
    for module in EXTRAS:
        (tmp_path / f"{module}.py").write_text(f"raise ModuleNotFoundError('{module}', name='{module}')")
    done = mrse("check", "shop", path=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
