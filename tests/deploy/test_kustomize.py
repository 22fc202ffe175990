"""The kustomize base is what the chart makes, and its example builds."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.manifests import KUSTOMIZE, PARTS, kustomization
from tests.deploy.charts import containers, environment, pods, rendered

EXAMPLE = KUSTOMIZE / "example"
KUBECTL = shutil.which("kubectl")


def test_every_file_is_what_the_chart_makes_and_there_is_no_other() -> None:
    rendered("default")  # or the test is skipped
    made = kustomization()
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text, "python -m devtools.manifests"
    assert {path for part in PARTS for path in (KUSTOMIZE / part).iterdir()} <= made.keys()


def read(folder: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8")))


def test_what_a_kustomization_names_is_there() -> None:
    for folder in (*(KUSTOMIZE / part for part in PARTS), EXAMPLE):
        index = read(folder)
        for name in (*index.get("resources", []), *index.get("components", [])):
            assert (folder / name).exists(), f"{folder}: {name}"
        for generator in (*index.get("configMapGenerator", []), *index.get("secretGenerator", [])):
            for file in generator["files"]:
                assert (folder / file.partition("=")[2] if "=" in file else folder / file).is_file(), file


def test_the_example_makes_every_secret_with_the_keys_that_are_read() -> None:
    made = {
        each["name"]: {file.partition("=")[0].rpartition("/")[2] for file in each["files"]}
        for each in read(EXAMPLE)["secretGenerator"]
    }
    files = [
        yaml.safe_load(path.read_text()) for part in PARTS for path in (KUSTOMIZE / part).glob("*-*.yaml")
    ]
    seen = set()
    for _, pod in pods(files):
        volumes = {v["name"]: v["secret"]["secretName"] for v in pod["spec"]["volumes"] if "secret" in v}
        for container in containers(pod):
            mounts = {mount["mountPath"]: volumes.get(mount["name"]) for mount in container["volumeMounts"]}
            for value in environment(container).values():
                secret = mounts.get(str(Path(value).parent)) if value.startswith("/etc/") else None
                if secret is not None:
                    assert Path(value).name in made[secret]
                    seen.add(secret)
    assert seen == made.keys()


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
def test_the_example_builds() -> None:
    done = subprocess.run(
        [str(KUBECTL), "kustomize", str(EXAMPLE)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    objects = [each for each in yaml.safe_load_all(done.stdout) if each]
    for each in objects:
        assert each["metadata"]["namespace"] == "search"
    names = {each["metadata"]["name"] for each in objects if each["kind"] in ("Secret", "ConfigMap")}
    for name, pod in pods(objects):
        for volume in pod["spec"]["volumes"]:
            used = volume.get("secret", {}).get("secretName") or volume.get("configMap", {}).get("name")
            assert used is None or used in names, f"{name}: {used}"
        for container in containers(pod):
            assert container["image"] != "mrse-recall:0.1.0"
    (role,) = [each for each in objects if each["kind"] == "Role"]
    assert role["rules"][0]["resourceNames"] == ["mrse-recall"]  # of the Deployment, not of a Secret
