"""The units: as systemd reads them, and as the service takes what they set."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.main import build
from common.errors import USAGE
from devtools.manifests import ROOT
from service.process.leaving import LINGER_S
from service.settings import load_settings

FOLDER = ROOT / "deploy/systemd"
UNITS = ("mrse-recall", "mrse-follow", "mrse-release")
ANALYZE = shutil.which("systemd-analyze")
#: Exposure as `systemd-analyze security` counts it, 0 to 10: "OK" ends at 4.
EXPOSED = 20


def text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def keys(name: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", text(name), re.MULTILINE)


def arguments(unit: str) -> list[str]:
    (line,) = keys(f"{unit}.service", "ExecStart")
    program, *rest = line.split()
    assert Path(program).name == "mrse"
    return rest


def test_the_service_takes_what_the_unit_sets_and_gets_the_time_that_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mrse.toml").write_text("")
    (tmp_path / "redis-url").write_text("redis://valkey\n")
    for line in (*keys("mrse-recall.service", "Environment"), *keys("secrets.conf", "Environment")):
        variable, _, value = line.partition("=")
        here = value.replace("/etc/mrse-recall", str(tmp_path)).replace("%d", str(tmp_path))
        monkeypatch.setenv(variable, here)
    settings = load_settings()
    assert settings.redis.url is not None
    server = settings.server
    assert server.probe_port
    (seconds,) = keys("mrse-recall.service", "TimeoutStopSec")
    assert float(seconds) >= server.lame_duck_s + LINGER_S + server.drain_s + 2
    assert keys("mrse-recall.service", "RestartPreventExitStatus") == [str(USAGE)]
    loaded = {each.partition(":")[0] for each in keys("secrets.conf", "LoadCredential")}
    assert loaded == set(re.findall(r"%d/(\S+)$", text("secrets.conf"), re.MULTILINE))


def test_all_units_are_of_one_layout_and_the_page_of_the_nights_has_no_other() -> None:
    of = {unit: {key: keys(f"{unit}.service", key) for key in ("User", "WorkingDirectory")} for unit in UNITS}
    assert len({str(each) for each in of.values()}) == 1
    assert {keys(f"{unit}.service", "ExecStart")[0].split()[0] for unit in UNITS} == {
        "/opt/mrse-recall/bin/mrse"
    }
    (folder,) = of["mrse-release"]["WorkingDirectory"]
    (plan,) = arguments("mrse-release")[1:]
    assert Path(plan).parent == Path(folder)
    page = (ROOT / "docs/nightly.md").read_text(encoding="utf-8")
    assert folder in page
    assert "[Service]" not in page  # it names the files of the units, and repeats none of them
    for line in re.findall(r"deploy/systemd/\S+", page):
        assert (ROOT / line.rstrip("`,.")).is_file(), line


@pytest.mark.parametrize("unit", UNITS)
def test_the_command_of_a_unit_exists_with_its_options(unit: str) -> None:
    import typer

    command: Any = typer.main.get_command(build())
    rest = arguments(unit)
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {each for each in rest if each.startswith("--")} <= options


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_and_little_exposed(unit: str, tmp_path: Path) -> None:
    program = keys(f"{unit}.service", "ExecStart")[0].split()[0]
    here = tmp_path / f"{unit}.service"
    here.write_text(text(here.name).replace(program, sys.executable))

    def analyze(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(ANALYZE), *command, str(here)], capture_output=True, text=True, timeout=60, check=False
        )

    verified = analyze("verify", "--recursive-errors=no")
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = analyze("security", "--offline=true", f"--threshold={EXPOSED}")
    assert judged.returncode == 0, judged.stdout
