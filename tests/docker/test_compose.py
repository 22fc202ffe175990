"""What the compose file lets in, and what a container may do."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.support.command import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DIGEST = re.compile(r"\S+:\S+@sha256:[0-9a-f]{64}")
#: Their image is made here, or its digest could not be learnt without asking its registry.
WITHOUT_DIGEST = {"recall", "recall-vespa", "vespa", "alertmanager"}
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
        assert volume.endswith(":ro") or not volume.startswith((".", "/"))


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    image = SERVICES[name]["image"]
    if name not in WITHOUT_DIGEST:
        assert DIGEST.fullmatch(image)
    elif name in ("vespa", "alertmanager"):
        assert re.fullmatch(r"\S+:v?\d+\.\d+\.\d+", image)


def test_nobody_looks_at_grafana_without_a_password() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert "GF_AUTH_ANONYMOUS_ENABLED" not in environment
    assert "GF_SECURITY_ADMIN_PASSWORD__FILE" in environment


def test_the_image_is_built_from_a_pinned_base_and_runs_as_nobody_of_note() -> None:
    lines = (ROOT / "docker" / "Dockerfile").read_text().splitlines()
    (base,) = (line.removeprefix("ARG BASE=") for line in lines if line.startswith("ARG BASE="))
    assert DIGEST.fullmatch(base)
    assert {line for line in lines if line.startswith("FROM")} == {"FROM ${BASE} AS build", "FROM ${BASE}"}
    assert "USER mrse" in lines
    assert any("--require-hashes" in line for line in lines)
