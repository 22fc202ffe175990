"""``mrse serve`` before it serves."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from cli.demo_files import demo_bundle
from tests.support.command import mrse_here


def test_print_config_hides_secrets() -> None:
    done = mrse_here(
        "serve", "--print-config", "--json", "--port", "9", MRSE_REDIS_URL="redis://:hush@cache:6379/0"
    )
    settings = json.loads(done.stdout)
    assert settings["server"]["port"] == 9
    assert "cache:6379" in settings["redis"]["url"]
    assert "hush" not in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_busy_port_is_said_before_any_work(command: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        paths = ["--bundle", "nowhere", "--index", "nowhere"] if command == "serve" else []
        done = mrse_here(command, *paths, "--port", port, cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        f"error: cannot listen on 127.0.0.1:{port}: Address already in use; try another port"
    )
    assert "9000" in line
    assert not list(tmp_path.iterdir())


def test_what_is_no_bundle_or_index_is_said_in_one_line_with_what_makes_it(tmp_path: Path) -> None:
    (tmp_path / "embeddings").mkdir()
    (tmp_path / "embeddings" / "meta.json").touch()
    bundle = str(demo_bundle())
    done = mrse_here("serve", "--bundle", bundle, "--index", "embeddings", "--port", "0", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "error: index embeddings: holds embeddings, not an index; "
        "`mrse index build embeddings --out index` makes one\n"
    )
