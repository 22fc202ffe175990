"""Values that the chart is judged by, and what is read out of its objects."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from shutil import which
from typing import Any

import pytest

from devtools.manifests import Object, render

SECRETS = {"existing": "mrse-secrets", "files": {"MRSE_REDIS_URL": "redis-url", "MRSE_EXPOSURES_KEY": "salt"}}
#: Each turns on what the others leave out.
CASES: dict[str, Object] = {
    "default": {},
    "everything": {
        "image": {"digest": f"sha256:{'0' * 64}", "pullSecrets": [{"name": "registry"}]},
        "workers": 2,
        "config": '[recall.lexical]\nenabled = true\n[events]\nstream = "behaviours"\n',
        "env": {"MRSE_LIMITS_MAX_K": "500", "MRSE_LIMITS_CLIENT_HEADER": "X-Forwarded-For"},
        "secrets": SECRETS,
        "accessKeys": {"existing": "mrse-keys"},
        "autoscaling": {"enabled": True},
        "monitoring": {
            "enabled": True,
            "labels": {"release": "prometheus"},
            "runbook": "https://wiki/runbook",
        },
        "follow": {"enabled": True},
        "nightly": {"enabled": True},
        "serviceAccount": {"annotations": {"example.com/role": "reader"}},
        "podAnnotations": {"a": "b"},
        "nodeSelector": {"pool": "search"},
        "tolerations": [{"key": "search", "operator": "Exists"}],
        "priorityClassName": "high",
        "drain": {"preStopSeconds": 7, "lameDuckSeconds": 11, "drainSeconds": 20},
    },
    "volume": {
        "replicas": 1,
        "data": {"source": "volume", "volume": {"claim": "shop", "writable": True}},
        "nightly": {"enabled": True},
        "networkPolicy": {"enabled": False},
    },
    "released": {
        "data": {"source": "volume", "volume": {"claim": "shop", "config": "mrse.toml"}},
        "admin": {"enabled": True},
        "experiments": {"claim": "switches"},
        "monitoring": {"enabled": True},
    },
    "vespa": {
        "config": '[index]\nengine = "vespa"\n[vespa]\nurl = "http://vespa:8080"\n',
        "data": {"index": "versions/item_demo.json", "verify": False, "objectStorage": {"release": "r1"}},
        "env": {"MRSE_REDIS_URL": "redis://valkey:6379/0"},
        "follow": {"enabled": True, "replicas": 2},
        "experiments": {"configMap": "switches"},
    },
}


@cache
def _rendered(case: str) -> list[Object]:
    if not find_spec("helm_python") and not which("helm"):
        pytest.skip("neither helm nor helm-python-sdk is installed")
    return render(CASES[case])


def rendered(case: str) -> list[Object]:
    """The objects of a case."""
    return copy.deepcopy(_rendered(case))


def find(objects: list[Object], kind: str, name: str = "mrse-recall") -> Object:
    (found,) = [each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """The template of every kind of pod, by the name of what makes it."""
    for each in objects:
        if each["kind"] == "Deployment":
            yield each["metadata"]["name"], each["spec"]["template"]
        elif each["kind"] == "CronJob":
            yield each["metadata"]["name"], each["spec"]["jobTemplate"]["spec"]["template"]


def containers(pod: Object) -> list[dict[str, Any]]:
    """The containers of a pod's template, the first ones first."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def environment(container: Object) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container.get("env", [])}
