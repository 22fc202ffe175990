"""What docs/kubernetes.md tells: values that the chart takes, files that are there, commands that exist."""

from __future__ import annotations

import re
import shlex
import tomllib
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from cli.main import COMMANDS
from devtools.manifests import Object, merged, render
from devtools.pages import PAGES, ROOT, blocks
from service.settings import load_settings
from tests.deploy.charts import containers, environment, find, pods, rendered

PAGE = "docs/kubernetes.md"
LINES = [line for block in blocks(PAGE, "sh") for line in block.splitlines()]
VALUES: Object = yaml.safe_load(blocks(PAGE, "yaml")[0])


def table(path: str, value: Any) -> Object:
    """``a.b=c`` of ``--set`` as values."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)


def test_every_command_is_one_and_every_file_is_there() -> None:
    for line in LINES:
        words = [word for word in shlex.split(line) if "=" not in word or word.startswith("-")]
        if words[0] == "mrse":
            assert " ".join(words[1:3]) in COMMANDS or words[1] in COMMANDS, line
        for word in words:
            if word.startswith("deploy/"):
                assert (ROOT / word).exists(), word
    for path in re.findall(r"`((?:deploy|docker)/[\w./-]+)`", PAGES[PAGE]):
        assert (ROOT / path).exists(), path


def test_the_values_and_every_change_of_them_can_be_installed_with_the_secrets_that_are_made() -> None:
    rendered("default")  # or the test is skipped
    made = {
        re.findall(r"generic (\S+)", line)[0]: re.findall(r"--from-file=(\S+)", line)
        for line in LINES
        if "create secret" in line
    }
    changes = [re.findall(r"--set (\S+)=(\S+)", line) for line in LINES if "deploy/helm/mrse-recall" in line]
    assert len(changes) == 3
    for change in changes:
        values = VALUES
        for path, value in change:
            values = merged(values, table(path, yaml.safe_load(value)))
        for _, pod in pods(render(values)):
            for volume in pod["spec"]["volumes"]:
                if "secret" in volume:
                    assert volume["secret"]["secretName"] in made
    (container,) = find(render(VALUES), "Deployment")["spec"]["template"]["spec"]["containers"]
    keys = {
        name.rpartition("/")[2] for name in environment(container).values() if name.startswith("/etc/mrse/")
    }
    assert keys == {"redis-url", "keys.toml", "mrse.toml"}
    assert keys - {"mrse.toml"} <= {key for each in made.values() for key in each}


def test_the_release_of_the_page_of_nights_may_reach_what_it_asks_and_finds_its_claim() -> None:
    values, job = (yaml.safe_load(block) for block in blocks("docs/nightly.md", "yaml"))
    rendered("default")
    pytest.importorskip("kubernetes_validate").validate(job, "1.30", strict=True)
    (pod,) = [pod for _, pod in pods([job])]
    objects = render(merged(values, {"admin": {"enabled": True}}))
    policy = find(objects, "NetworkPolicy")["spec"]
    for port in ("probes", "admin"):
        (rule,) = [rule for rule in policy["ingress"] if rule["ports"][0]["port"] == port]
        labels = [
            each["podSelector"].get("matchLabels", {}) for each in rule["from"] if "podSelector" in each
        ]
        assert any(its and its.items() <= pod["metadata"]["labels"].items() for its in labels), port
    claims = [
        volume["persistentVolumeClaim"]
        for each in (pod, find(objects, "Deployment")["spec"]["template"])
        for volume in each["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    ]
    assert claims == [{"claimName": "mrse-recall"}] * 2
    (plan,) = [block for block in blocks("docs/nightly.md", "toml") if "resolve" in block]
    (url,) = tomllib.loads(plan)["services"]["urls"]
    service = find(objects, "Service", urlsplit(url).hostname or "")
    assert service["spec"]["ports"][0]["port"] == urlsplit(url).port


def test_what_the_page_says_of_single_values_is_so() -> None:
    text = PAGES[PAGE]
    rendered("default")
    for inline in re.findall(r"`((?:env|data|experiments): \{.*?\})`", text, re.DOTALL):
        objects = render(merged({"replicas": 1}, yaml.safe_load(inline)))
        for container in containers(find(objects, "Deployment")["spec"]["template"]):
            for variable in environment(container):
                assert variable.startswith(("MRSE_", "RCLONE_", "ROOT", "RELEASE"))
            assert ("MRSE_ASSIGNMENT_PATH" in environment(container)) == (
                "experiments" in inline and container["name"] == "service"
            )
    assert load_settings(None, {"playground": {"enabled": False}}).playground.enabled is False
    scaler = find(rendered("everything"), "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert scaler[0]["pods"]["target"]["averageValue"] == "20m"
    assert scaler[1]["resource"]["target"]["averageUtilization"] == 70
