"""The command line: help with examples, exit codes, output for machines, progress without a terminal."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from cli.console import figures, progress, warnings_of
from cli.extras import how_to_get
from cli.main import build

ROOT = Path(__file__).parents[2]


def mrse(*arguments: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", "from cli.main import main; main()", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1"} | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []

    def walk(group: typer.Typer, path: tuple[str, ...]) -> None:
        for command in group.registered_commands:
            assert command.callback is not None
            found.append((*path, command.name or command.callback.__name__.rstrip("_").replace("_", "-")))
        for inner in group.registered_groups:
            assert inner.typer_instance is not None
            walk(inner.typer_instance, (*path, str(inner.name)))

    walk(build(), ())
    return found


def test_the_commands_are_those_of_the_readme() -> None:
    wanted = "shop make,import,check,train,export,embed,index build,serve,recall,doctor,evaluate,demo"
    assert {tuple(name.split()) for name in wanted.split(",")} <= set(commands())


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_help_has_an_example(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(build(), [*path, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert shown.exit_code == 0, shown.output
    assert f"mrse {' '.join(path)}" in shown.output.split("Example:")[1]


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
    done = mrse(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    if said.startswith("no "):  # nothing was started, and so nothing logged
        assert len(done.stderr.splitlines()) == 1
    assert not done.stdout


def test_check_exit_codes_and_json(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text('name = "s"\n')
    items = tmp_path / "items.csv"
    items.write_text("id,title\na,cup\n")
    good = mrse("check", str(tmp_path), "--json")
    told = json.loads(good.stdout)
    assert (good.returncode, told["problems"], told["warnings"]) == (0, 0, 1)
    assert told["first"][0]["warning"]
    items.write_text("id,title,sku\na,cup,7\n")
    noted = mrse("check", str(tmp_path))
    assert noted.returncode == 0
    assert "items.csv:1: warning: sku is neither" in noted.stdout
    assert "events: warning: no events file: looked for events.parquet, events.csv," in noted.stdout
    assert noted.stderr == "no problems, 2 warnings\n"
    items.write_text("id,title\na,cup\na,mug\n")
    bad = mrse("check", str(tmp_path), "--json")
    assert bad.returncode == 1
    told = json.loads(bad.stdout)
    assert (told["problems"], told["warnings"]) == (1, 1)
    assert (told["first"][0]["file"], told["first"][0]["line"]) == ("items.csv", 3)
    text = mrse("check", str(tmp_path))
    assert "items.csv:3: id is 'a'" in text.stdout
    assert text.stderr == "1 problem, 1 warning\n"


def test_print_config_hides_secrets() -> None:
    done = mrse(
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
        done = mrse(command, *paths, "--port", port, cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        f"error: cannot listen on 127.0.0.1:{port}: Address already in use; try another port"
    )
    assert "9000" in line
    assert not list(tmp_path.iterdir())


def test_recall_says_what_was_applied_and_what_was_ignored() -> None:
    answer = {
        "items": [],
        "routes": {},
        "variant": {"towers": "control", "merge": "rrf"},
        "took_ms": 1.5,
        "model_version": "demo-00000000",
        "degraded": [],
    }

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("X-Experiment-Applied", 'towers=control,merge=rrf; ignored="colour=_b_,size"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with HTTPServer(("127.0.0.1", 0), Service) as service:
        thread = threading.Thread(target=service.handle_request)
        thread.start()
        done = mrse("recall", "shoes", "--url", f"http://127.0.0.1:{service.server_port}")
        thread.join()
    assert done.returncode == 0, done.stderr
    assert "bundle demo-00000000; towers=control, merge=rrf" in done.stdout
    assert done.stderr == "--experiment: the service knows no colour=_b_, size\n"


def test_doctor_shows_no_terminal_codes(tmp_path: Path) -> None:
    maven = tmp_path / "mvn"
    maven.write_text("#!/bin/sh\nprintf '\\033[1mApache Maven 3.9.9\\033[m\\n'\n")
    maven.chmod(0o755)
    done = mrse("doctor", "--json", PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    findings = json.loads(done.stdout)["findings"]
    assert [f["found"] for f in findings if f["what"].startswith("mvn")] == ["Apache Maven 3.9.9"]


def test_how_to_get_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert how_to_get("train") == "make dev"
    assert "\ndev:" in (ROOT / "Makefile").read_text()
    monkeypatch.setattr("cli.extras.__file__", str(tmp_path / "cli" / "extras.py"))
    assert how_to_get("train") == "pip install 'mrse-recall[train]'"


def test_doctor_finds_both_onnxruntimes(tmp_path: Path) -> None:
    """The two packages overwrite each other; a second one's metadata is all that can be seen of it."""
    for name in ("onnxruntime", "onnxruntime_gpu"):
        folder = tmp_path / f"{name}-9.9.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 9.9\n"
        )
    done = mrse("doctor", "--json", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    finding = next(f for f in json.loads(done.stdout)["findings"] if f["what"] == "onnxruntime")
    assert done.returncode == 1
    assert finding["state"] == "broken"
    assert "one extra" in finding["remedy"]


def test_a_stage_that_begins_anew_has_a_rate_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 10.0, 1000.0, 1010.0])
    monkeypatch.setattr("cli.console.time.monotonic", lambda: next(now))
    with progress() as report:
        for done in (0, 5, 0, 40):
            report("stage1", done, 100)
    assert capsys.readouterr().err.splitlines() == [
        "stage1: 0/100",
        "stage1: 5/100, 0.5/s, 190 s left",
        "stage1: 0/100",
        "stage1: 40/100, 4/s, 15 s left",
    ]


def test_tables_of_measures_are_whole_at_80_characters() -> None:
    measures = ("Recall@10", "Recall@100", "Recall@500", "MRR", "Rele@10_p", "Rele@100_p")
    table = figures("shop", ("queries", "system", "n"), measures)
    table.add_row("text+photo", "mrse, no history", "10,388", *["0.123"] * 6)
    console = Console(width=80, file=io.StringIO())
    console.print(table)
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in written
    assert written.count("0.123") == 6


def test_warnings_of_a_training_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings_of("mrse.training"):
        logging.getLogger("mrse.training").warning("%s: no events file", "shop")
    assert capsys.readouterr().err == "warning: shop: no events file\n"


def test_a_stage_without_a_figure_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as report:
        report("co-clicks", 0, None)
        report("co-clicks", 7, 7)
        report("co-clicks", 0, None)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("co-clicks: 7/7")


def test_progress_without_a_terminal_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as report:
        for done in range(0, 1001, 10):
            report("rows", done, 1000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "rows: 0/1,000"
    assert lines[-1].startswith("rows: 1,000/1,000")
    assert len(lines) < 5
