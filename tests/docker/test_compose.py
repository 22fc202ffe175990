"""What the compose file lets in, and what a container may do."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from typer.testing import CliRunner

from cli.main import build
from service.process.leaving import LINGER_S
from service.settings import Server, Settings, load_settings
from tests.support.command import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DIGEST = re.compile(r"\S+:\S+@sha256:[0-9a-f]{64}")
#: Their image is made here, or its digest could not be learnt without asking its registry.
WITHOUT_DIGEST = {"recall", "recall-vespa", "vespa"}
#: Reached from this machine; all else is reached by its neighbours alone.
PUBLISHED = {"recall", "recall-vespa", "grafana"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_reached_by_neighbours_and_at_most_this_machine(name: str) -> None:
    service = SERVICES[name]
    ports = service.get("ports", [])
    assert bool(ports) == (name in PUBLISHED)
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert service["networks"] == (["front", "back"] if ports else ["back"])
    assert COMPOSE["networks"]["back"]["internal"] is True
    assert "network_mode" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_may_do_little(name: str) -> None:
    service = SERVICES[name]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["mem_limit"]
    assert not service.get("privileged")
    if name != "vespa":  # it writes all over its root
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["pids_limit"] > 0
    for volume in service.get("volumes", []):
        if isinstance(volume, dict):
            assert volume["read_only"] is True
        else:
            assert volume.endswith(":ro") or not volume.startswith((".", "/"))


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    image = SERVICES[name]["image"]
    if name not in WITHOUT_DIGEST:
        assert DIGEST.fullmatch(image)
    elif name == "vespa":
        assert re.fullmatch(r"\S+:v?\d+\.\d+\.\d+", image)


def test_nobody_looks_at_grafana_without_a_password() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert "GF_AUTH_ANONYMOUS_ENABLED" not in environment
    assert "GF_SECURITY_ADMIN_PASSWORD__FILE" in environment


def test_an_empty_password_of_grafana_is_refused_before_it_takes_its_own(tmp_path: Path) -> None:
    """The script that starts it, with the two paths of its container put below a folder."""
    script = SERVICES["grafana"]["entrypoint"][2]
    (tmp_path / "run.sh").write_text("#!/bin/sh\necho started\n")
    (tmp_path / "run.sh").chmod(0o755)
    secret = tmp_path / "grafana_password"
    here = script.replace("/run/secrets", str(tmp_path)).replace("/run.sh", str(tmp_path / "run.sh"))
    said = []
    for password in ("", "long"):
        secret.write_text(password)
        said.append(subprocess.run(["sh", "-c", here], capture_output=True, text=True, check=False).stdout)
    assert said == ["set GRAFANA_PASSWORD\n", "started\n"]


def test_the_file_is_one_by_the_specification_of_compose() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "tests/docker/compose-spec.json").read_text())
    jsonschema.Draft7Validator(schema).validate(COMPOSE)
    wrong = {"services": {"recall": SERVICES["recall"] | {"readonly": True}}}
    assert not jsonschema.Draft7Validator(schema).is_valid(wrong)


def filled(value: str, **variables: str) -> str:
    """What compose makes of ``${NAME:-without}`` and ``${NAME:+with}``."""

    def fill(match: re.Match[str]) -> str:
        name, sign, other = match.groups()
        given = variables.get(name, "")
        return (other if given else "") if sign == "+" else (given or other)

    return re.sub(r"\$\{(\w+):([-+])([^}]*)\}", fill, value)


@pytest.mark.parametrize("name", ["recall", "recall-vespa"])
def test_ones_own_shop_is_one_variable(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop,) = [volume for volume in SERVICES[name]["volumes"] if isinstance(volume, dict)]
    assert filled(shop["source"], SHOP="my/shop") == "my/shop"
    assert (ROOT / filled(shop["source"])).is_dir()
    program, *arguments = SERVICES[name]["command"]
    assert program == "mrse"
    for given in ("", "my/shop"):
        for variable, value in SERVICES[name]["environment"].items():
            monkeypatch.setenv(variable, filled(value, SHOP=given).replace("/shop", str(tmp_path)))
        own, settings = demo_of(arguments, monkeypatch)
        assert own == (tmp_path if given else None)
        assert settings.recall.tables["lexical"].enabled is bool(given)
        assert settings.redis.url is not None
        assert urlsplit(settings.redis.url.get_secret_value()).hostname in SERVICES[name]["depends_on"]


def demo_of(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[Path | None, Settings]:
    """What ``mrse demo`` is called with, and the settings of its environment."""
    from cli.commands import demo

    seen: list[Path | None] = []

    def prepare(*given: Any) -> None:
        seen.append(given[4])
        raise SystemExit(0)

    monkeypatch.setattr(demo, "prepare", prepare)
    monkeypatch.setattr(demo, "refuse_taken", lambda *_: None)
    done = CliRunner().invoke(build(), arguments)
    assert done.exit_code == 0, done.output
    return seen[0], load_settings()


def test_ports_and_files_that_are_named_are_there() -> None:
    listens = dockerfile_variables()
    for name in ("recall", "recall-vespa"):
        arguments = SERVICES[name]["command"]
        port = arguments[arguments.index("--port") + 1]
        assert [each.rpartition(":")[2] for each in SERVICES[name]["ports"]] == [port]
        grace = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
        assert grace >= float(listens["MRSE_SERVER_LAME_DUCK_S"]) + LINGER_S + Server().drain_s + 2
    jobs = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text())["scrape_configs"]
    (job,) = [each for each in jobs if each["job_name"] == "mrse-recall"]
    assert job["static_configs"][0]["targets"] == [f"recall:{listens['MRSE_SERVER_PROBE_PORT']}"]
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = "" if isinstance(volume, dict) else volume.partition(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists(), source
            elif source:
                assert source in COMPOSE["volumes"]
        for secret in service.get("secrets", []):
            assert secret in COMPOSE["secrets"]
        assert set(service.get("depends_on", [])) <= SERVICES.keys()


def dockerfile_variables() -> dict[str, str]:
    return dict(re.findall(r"(MRSE_\w+)=(\S+)", (ROOT / "docker/Dockerfile").read_text()))
