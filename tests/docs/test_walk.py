"""README and pages followed from top to bottom, as a newcomer would: what they say must work.

Commands run as they stand; only sizes are made smaller and ports are free ones. Blocks that a page marks with
``<!-- not run: … -->`` are left out; `python -m devtools.pages` lists all, with who runs them.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from devtools.pages import PAGES, ROOT, blocks, commands, examples
from devtools.running import environment, printed_curl, running, sh
from devtools.waiting import free_port
from models.synthetic import make_shop

MAKE_RUN, CURL = blocks("README.md", "sh")
KEY = "0123456789abcdef0123456789abcdef"


def at(command: str, port: int) -> str:
    return command.replace(":8080", f":{port}").replace("--port 8080", f"--port {port}")


@pytest.mark.slow
def test_make_run_then_curl(tmp_path: Path) -> None:
    """Both the line that `make run` prints and the one in the README answer with items of both routes."""
    port = free_port()
    with running(
        f"make -C '{ROOT}' {MAKE_RUN.split()[1]} PORT={port} DIR='{tmp_path}/demo'", tmp_path, port
    ) as log:
        for command in (printed_curl(log), at(CURL, port)):
            answer = json.loads(sh(command, tmp_path))
            routes = {source["route"] for item in answer["items"] for source in item["sources"]}
            assert answer["items"], answer
            assert routes == {"q2i", "i2i"}, answer
        shop = json.loads(sh(f"curl -s http://127.0.0.1:{port}/playground/shop", tmp_path))
        assert shop["examples"], "the page has something to try"
        assert shop["personas"]
    (tmp_path / ".run").symlink_to("demo")  # what `make run` starts, over what it left
    port = free_port()
    with running(f"exec {examples()['demo'].replace('9000', str(port))}", tmp_path, port):
        assert json.loads(sh(at(CURL, port), tmp_path))["items"]


@pytest.mark.slow
def test_the_tutorial_then_the_pages_that_change_its_shop(tmp_path: Path) -> None:
    make_run, files, check, embed, serve, ask, shop, train, ask_again = blocks(
        "docs/start.md", "sh", run=True
    )
    assert make_run == MAKE_RUN
    (tmp_path / "models").symlink_to(ROOT / "models")
    for step in (files, check):
        sh(step, tmp_path)
    embed, build = embed.splitlines()
    assert f"next: {build}\n" in sh(f"{embed} 2>&1", tmp_path), "the page goes on as the command says"
    sh(build, tmp_path)
    port = free_port()
    with running(at(serve, port), tmp_path, port):
        table = sh(f"{ask} --url http://127.0.0.1:{port}", tmp_path)
    assert re.search(r"\bs1\b.*", table)
    assert "lexical" in table

    sh(shop.replace("--items 4000", "--items 1000"), tmp_path)
    shutil.rmtree(tmp_path / "shop")
    make_shop(tmp_path / "shop", items=250, seed=7)  # no command makes one so small
    *steps, serve = train.splitlines()
    for step in steps:
        sh(step.replace("--preset demo", "--preset tiny"), tmp_path)
    (put,) = blocks("docs/items.md", "sh", run=True)
    (by_photo,) = blocks("docs/requests.md", "sh", run=True)
    for name in ("i7.jpg", "photo.jpg"):
        shutil.copy(next((tmp_path / "shop/pictures").rglob("*.jpg")), tmp_path / name)
    port, keyed = free_port(), environment() | {"MRSE_SERVER_ADMIN_TOKEN": KEY, "KEY": KEY}
    with running("exec " + at(serve, port), tmp_path, port, keyed):
        assert "q2i ok" in sh(f"{ask_again} --url http://127.0.0.1:{port}", tmp_path)
        assert json.loads(sh(at(put, port), tmp_path, keyed))["written"] == 1
        patient = at(by_photo, port).replace('"k": 20', '"k": 20, "timeout_ms": 10000')
        assert json.loads(sh(patient, tmp_path))["routes"]["p2i"]["status"] == "ok"


def test_no_block_is_left_out_without_a_word() -> None:
    """A block of commands is run by the page's test or by the one that it names, or says why it is not."""
    for block in commands():
        if block.why is None:
            assert block.by is not None, block
            text = (ROOT / block.by).read_text()
            assert block.page in text or "examples()" in text, block


def test_commands_stand_in_blocks_that_say_so() -> None:
    """``blocks(page, "sh")`` is all of them: no other fence hides one."""
    for page in PAGES:
        listed = [block for block in commands() if block.page == page]
        assert len(blocks(page, "sh")) == len(listed), (page, listed)


def test_the_torchrun_command_starts(tmp_path: Path) -> None:
    found = re.search(r"`(torchrun .*?)`", PAGES["docs/training.md"])
    assert found is not None
    said = sh(found[1].replace("node 8", "node 2") + " --help", tmp_path)
    assert said.count("Train the towers in two stages") == 2
