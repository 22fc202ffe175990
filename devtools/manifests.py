"""Renders the Helm chart, and writes the kustomize base that is made of it.

``python -m devtools.manifests`` writes ``deploy/kustomize`` and the chart's copy of ``docker/alerts.yml``,
and says what it changed; a test compares. So there is one source of what both say. Helm's library renders:
the package helm-python-sdk brings it, and the command ``helm`` will do too.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[1]
CHART: Final = ROOT / "deploy/helm/mrse-recall"
KUSTOMIZE: Final = ROOT / "deploy/kustomize"
ALERTS: Final = (ROOT / "docker/alerts.yml", CHART / "files/alerts.yml")
NAME: Final = "mrse-recall"
#: What is rendered where Helm is not told by a cluster; the chart's `kubeVersion` allows it.
KUBERNETES: Final = "1.33.0"
#: The folders of the kustomize base, and what each adds to the values of `values.yaml` there. Each has the
#: objects that those before it have not.
PARTS: Final[dict[str, dict[str, Any]]] = {
    "base": {},
    "components/autoscaling": {"autoscaling": {"enabled": True}},
    "components/follow": {"follow": {"enabled": True}},
    "components/nightly": {"nightly": {"enabled": True}},
    "components/monitoring": {"monitoring": {"enabled": True}, "follow": {"enabled": True}},
}
_HEAD = "# Made of deploy/helm/mrse-recall by `python -m devtools.manifests`: change it there.\n"

Object = dict[str, Any]


def merged(base: Object, more: Object) -> Object:
    """Values with others on top, table by table."""
    result = dict(base)
    for key, value in more.items():
        ours = result.get(key)
        result[key] = merged(ours, value) if isinstance(ours, dict) and isinstance(value, dict) else value
    return result


def render(values: Object, name: str = NAME) -> list[Object]:
    """The objects that the chart makes of some values, in the order of their templates.

    Raises:
        Exception: Helm refuses the values, by schema or by a template.
    """
    documents: list[Object] = []
    for template, text in sorted(_templates(values, name).items()):
        if template.endswith(".yaml"):
            documents += [document for document in yaml.safe_load_all(text) if document]
    return documents


def notes(values: Object, name: str = NAME) -> str:
    """What Helm tells whoever installs the chart."""
    return next(text for template, text in _templates(values, name).items() if template.endswith("NOTES.txt"))


def _templates(values: Object, name: str) -> dict[str, str]:
    if find_spec("helm_python"):
        import helm_python

        with helm_python.Chart.load(str(CHART)) as chart:
            chart.validate_schema(values)
            return dict(chart.render(values, name=name, namespace="default"))
    helm = shutil.which("helm")
    if helm is None:
        raise FileNotFoundError("neither the package helm-python-sdk nor the command helm is installed")
    command = [helm, "template", name, str(CHART), "--kube-version", KUBERNETES, "--values", "-"]
    done = subprocess.run(command, input=yaml.safe_dump(values), capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr)
    texts: dict[str, str] = {}
    for part in re.split(r"^---\n# Source: ", done.stdout, flags=re.MULTILINE)[1:]:
        template, _, text = part.partition("\n")
        texts[template] = f"{texts.get(template, '')}---\n{text}"
    return texts


class _Plain(yaml.SafeDumper):
    """Writes every object where it stands, and texts of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, data: str) -> yaml.Node:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Plain.add_representer(str, _Plain.text)


def written(documents: list[Object]) -> str:
    """Objects as a file of YAML."""
    return _HEAD + "---\n".join(
        yaml.dump(each, Dumper=_Plain, sort_keys=False, width=110, allow_unicode=True) for each in documents
    )


def kustomization() -> dict[Path, str]:
    """Every file that is made, and what it holds."""
    values = yaml.safe_load((KUSTOMIZE / "values.yaml").read_text(encoding="utf-8"))
    files = {ALERTS[1]: ALERTS[0].read_text(encoding="utf-8")}
    seen: set[tuple[str, str]] = set()
    for part, more in PARTS.items():
        found = [each for each in render(merged(values, more)) if _key(each) not in seen]
        seen |= {_key(each) for each in found}
        kind = "Kustomization" if part == "base" else "Component"
        version = "v1beta1" if part == "base" else "v1alpha1"
        index: Object = {"apiVersion": f"kustomize.config.k8s.io/{version}", "kind": kind, "resources": []}
        for each in found:
            if each["kind"] == "ConfigMap":  # kustomize makes it, by a name that changes with what it holds
                index["configMapGenerator"] = [{"name": each["metadata"]["name"], "files": [*each["data"]]}]
                files |= {KUSTOMIZE / part / name: text for name, text in each["data"].items()}
                continue
            each["spec"] = (
                _without_checksum(each["spec"]) if each["kind"] == "Deployment" else each.get("spec")
            )
            name = each["metadata"]["name"].removeprefix(NAME).strip("-") or "service"
            index["resources"].append(f"{name}-{each['kind']}.yaml".lower())
            whole = {key: value for key, value in each.items() if value is not None}
            files[KUSTOMIZE / part / index["resources"][-1]] = written([whole])
        index["resources"].sort()
        if part == "components/autoscaling":  # the number of pods is no longer ours
            removal = yaml.safe_dump([{"op": "remove", "path": "/spec/replicas"}])
            index["patches"] = [{"target": {"kind": "Deployment", "name": NAME}, "patch": removal}]
        files[KUSTOMIZE / part / "kustomization.yaml"] = written([index])
    return files


def _without_checksum(spec: Object) -> Object:
    metadata = spec["template"]["metadata"]
    metadata.pop("annotations", None)
    return spec


def _key(document: Object) -> tuple[str, str]:
    return document["kind"], document["metadata"]["name"]


def main() -> None:
    files = kustomization()
    stale = [path for part in PARTS for path in (KUSTOMIZE / part).glob("*") if path not in files]
    for path in stale:
        path.unlink()
    for path, text in files.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT))
    for path in stale:
        print(f"{path.relative_to(ROOT)} is gone")


if __name__ == "__main__":
    sys.exit(main())
