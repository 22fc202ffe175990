"""The chart's objects, judged without a cluster: by Kubernetes' schemas, and by what they refer to."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.main import build
from devtools.manifests import ALERTS, CHART, ROOT, Object, notes, render
from service.process.leaving import LINGER_S
from service.settings import Settings, load_settings
from tests.deploy.charts import CASES, containers, environment, find, pods, rendered

kubernetes = pytest.importorskip("kubernetes_validate")
#: The oldest that the chart's kubeVersion allows.
OLDEST = "1.30"
#: Of the Prometheus operator, whose schemas are not at hand: what they refer to is judged, not their fields.
OPERATOR = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
DIGEST = re.compile(r"\S+@sha256:[0-9a-f]{64}")


def test_every_object_fits_the_schema_of_its_kind(objects: list[Object]) -> None:
    for each in objects:
        if each["kind"] not in OPERATOR:
            kubernetes.validate(each, OLDEST, strict=True)
    assert {each["apiVersion"] for each in objects if each["kind"] in OPERATOR} <= {
        "monitoring.coreos.com/v1"
    }


def test_versions_are_those_of_the_package_and_of_the_schemas() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == project["version"]
    assert chart["kubeVersion"] == f">={OLDEST}.0-0"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"replica": 3}, "replica"),
        ({"replicas": -1}, "replicas"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"data": {"source": "floppy"}}, "source"),
        ({"data": {"index": "../index"}}, "index"),
        ({"data": {"objectStorage": {"root": "bucket"}}}, "root"),
        ({"secrets": {"files": {"MRSE_REDIS_URL": "redis-url"}}}, "existing"),
        ({"secrets": {"existing": "s", "files": {"MRSE_REDIS_URL_FILE": "x"}}}, "MRSE_REDIS_URL_FILE"),
        ({"env": {"MRSE_SERVER_ADMIN_TOKEN": "hush"}}, "MRSE_SERVER_ADMIN_TOKEN"),
        ({"nightly": {"keep": 0}}, "keep"),
        ({"follow": {"enabled": True}}, "name Redis"),
        ({"experiments": {"claim": "a", "configMap": "b"}}, "a claim or a configMap, not both"),
        ({"data": {"source": "volume", "volume": {"writable": True}}}, "replicas 1 and no autoscaling"),
        ({"data": {"volume": {"config": "mrse.toml"}}}, "goes with data.source volume"),
        ({"data": {"source": "volume", "volume": {"config": "a"}}, "nightly": {"enabled": True}}, "nightly"),
        ({"data": {"source": "volume", "volume": {"config": "a"}}, "config": "[server]\n"}, "without config"),
    ],
)
def test_values_that_cannot_work_are_refused(values: Object, reason: str) -> None:
    rendered("default")  # or the test is skipped
    with pytest.raises(Exception, match=reason):
        render(values)


def test_containers_may_do_little(objects: list[Object]) -> None:
    for name, pod in pods(objects):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        # A Service named mrse-recall would set MRSE_RECALL_PORT, which reads as a setting that there is not.
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == uid_of_the_image()
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        for each in containers(pod):
            bounds = each["securityContext"]
            assert bounds["readOnlyRootFilesystem"] is True, (name, each["name"])
            assert bounds["allowPrivilegeEscalation"] is False
            assert bounds["capabilities"] == {"drop": ["ALL"]}
            assert DIGEST.fullmatch(each["image"]) or each["image"] == "mrse-recall:0.1.0"
            mounted = {mount["name"] for mount in each["volumeMounts"]}
            assert "tmp" in mounted
            assert mounted <= {volume["name"] for volume in spec["volumes"]}
        assert not any("hostPath" in volume for volume in spec["volumes"])


def uid_of_the_image() -> int:
    (uid,) = re.findall(r"--uid (\d+)", (ROOT / "docker/Dockerfile").read_text())
    return int(uid)


def settings_of(
    container: Object, objects: list[Object], root: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """What the service makes of a container's environment, its files below ``root``."""
    monkeypatch.setattr("os.environ", dict[str, str]())
    for variable, value in environment(container).items():
        path = root / value.removeprefix("/")
        if variable == "MRSE_CONFIG":
            path.parent.mkdir(parents=True)
            if value.startswith("/data/"):  # on the claim, as a release writes it
                path.write_text(
                    '[bundle]\npath = "/data/releases/1/b"\n[index]\npath = "/data/releases/1/i"\n'
                )
                value = str(path)
            else:
                (config,) = [each["data"] for each in objects if each["kind"] == "ConfigMap"]
                path.write_text(config[path.name])
        elif variable.endswith("_FILE"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("redis://:hidden@valkey:6379/0\n")
        monkeypatch.setitem(
            __import__("os").environ, variable, str(path) if value.startswith("/etc/") else value
        )
    return load_settings()


@pytest.mark.parametrize("case", CASES)
def test_the_service_takes_the_environment_and_the_pod_gives_it_the_time_that_it_needs(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = rendered(case)
    pod = find(objects, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    settings = settings_of(container, objects, tmp_path, monkeypatch)
    server = settings.server
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports == {"http": server.port, "probes": server.probe_port} | (
        {"admin": server.admin_port} if server.admin_port else {}
    )
    assert (server.admin_port != 0) == (case == "released")
    assert server.host == "0.0.0.0"
    assert str(settings.bundle.path).startswith("/data/")
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= pause + server.lame_duck_s + LINGER_S + server.drain_s + 2
    if case == "everything":
        assert server.workers == 2
        assert settings.redis.url is not None
        assert settings.redis.url.get_secret_value().startswith("redis://:hidden")
        assert settings.exposures.key is not None
        assert settings.access.keys == tmp_path / "etc/mrse/keys/keys.toml"
        assert settings.limits.max_k == 500
        assert settings.events.stream == "behaviours"
        assert (server.lame_duck_s, server.drain_s) == (11, 20)
    if case == "released":  # the file says what serves: a path in the environment would win over it
        assert str(settings.bundle.path) == "/data/releases/1/b"
        assert settings.server.watch_config
        assert not pod.get("initContainers")
    if case == "vespa":
        assert settings.index.engine == "vespa"


def test_switches_of_experiments_are_written_to_a_claim_or_read_from_what_need_not_be_there() -> None:
    """What the service does with that place is in `tests/service/test_live_experiments.py`."""
    for case, volume in (
        ("released", {"name": "experiments", "persistentVolumeClaim": {"claimName": "switches"}}),
        ("vespa", {"name": "experiments", "configMap": {"name": "switches", "optional": True}}),
        ("default", None),
    ):
        pod = find(rendered(case), "Deployment")["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
        if volume is None:
            assert "experiments" not in mounts
            assert "MRSE_ASSIGNMENT_PATH" not in environment(container)
            continue
        assert volume in pod["volumes"]
        path = Path(environment(container)["MRSE_ASSIGNMENT_PATH"])
        assert mounts["experiments"] == {
            "name": "experiments",
            "mountPath": str(path.parent),
            "readOnly": "configMap" in volume,
        }


def test_secrets_are_mounted_where_the_environment_says_and_stand_nowhere_else(objects: list[Object]) -> None:
    for _, pod in pods(objects):
        secrets = {v["name"]: v["secret"] for v in pod["spec"]["volumes"] if "secret" in v}
        assert all(each["defaultMode"] == 0o440 for each in secrets.values())
        for each in containers(pod):
            mounts = {mount["mountPath"]: mount for mount in each["volumeMounts"]}
            for variable, value in environment(each).items():
                if value.startswith("/etc/"):
                    mount = mounts[str(Path(value).parent)]
                    assert mount["readOnly"] is True, variable
                    assert "subPath" not in mount  # which would never be brought up to date


def test_probes_ask_what_the_service_answers_there(objects: list[Object]) -> None:
    (container,) = find(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    asked = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}
    assert {kind: each["path"] for kind, each in asked.items()} == {
        "startup": "/readyz",
        "readiness": "/readyz",
        "liveness": "/livez",
    }
    assert {each["port"] for each in asked.values()} == {"probes"}
    source = (ROOT / "service/process/probes.py").read_text()
    assert all(f'"{each["path"]}"' in source for each in asked.values())
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 600


def matches(selector: Object, labels: Object) -> bool:
    return (
        selector["matchLabels"].items() <= labels.items()
        if "matchLabels" in selector
        else selector.items() <= labels.items()
    )


def test_selectors_find_their_pods_and_no_others(objects: list[Object]) -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(objects)}
    ports = {
        name: {port["name"] for each in containers(pod) for port in each.get("ports", [])}
        for name, pod in pods(objects)
    }
    for each in objects:
        kind, name = each["kind"], each["metadata"]["name"]
        selector = each.get("spec", {}).get("podSelector" if kind == "NetworkPolicy" else "selector")
        if selector is None:
            continue
        if kind == "ServiceMonitor":
            found = [
                o["metadata"]["name"]
                for o in objects
                if o["kind"] == "Service" and matches(selector, o["metadata"]["labels"])
            ]
            assert found == ["mrse-recall-probes"]
            continue
        found = [pod for pod, its in labels.items() if matches(selector, its)]
        assert found == [name.removesuffix("-probes").removesuffix("-admin")], kind
        if kind == "Service":
            assert {port["targetPort"] for port in each["spec"]["ports"]} <= ports[found[0]]
        if kind == "NetworkPolicy":
            named = {p["port"] for rule in each["spec"]["ingress"] for p in rule["ports"]}
            assert named == ports[found[0]]
        if kind == "PodMonitor":
            assert {e["port"] for e in each["spec"]["podMetricsEndpoints"]} <= ports[found[0]]


def test_the_alerts_are_those_of_docker_and_find_the_job() -> None:
    assert ALERTS[1].read_text() == ALERTS[0].read_text(), "python -m devtools.manifests"
    rules = find(rendered("everything"), "PrometheusRule")["spec"]
    expected = yaml.safe_load(ALERTS[0].read_text().replace("docs/runbook.md#", "https://wiki/runbook#"))
    assert rules == expected
    monitor = find(rendered("everything"), "ServiceMonitor")
    service = find(rendered("everything"), "Service", "mrse-recall-probes")
    job = service["metadata"]["labels"][monitor["spec"]["jobLabel"]]
    assert f'job="{job}"' in ALERTS[0].read_text()
    (follow,) = [pod for name, pod in pods(rendered("everything")) if name.endswith("-follow")]
    label = find(rendered("everything"), "PodMonitor", "mrse-recall-follow")["spec"]["jobLabel"]
    prometheus = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text())
    assert follow["metadata"]["labels"][label] in {each["job_name"] for each in prometheus["scrape_configs"]}


def test_the_autoscaler_goes_by_a_metric_that_the_service_has_and_the_adapter_makes() -> None:
    objects = rendered("everything")
    scaler = find(objects, "HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == find(objects, "Deployment")["metadata"]["name"]
    assert "replicas" not in find(objects, "Deployment")["spec"]
    (rule,) = yaml.safe_load((ROOT / "deploy/prometheus-adapter.yaml").read_text())["rules"]["custom"]
    assert scaler["metrics"][0]["pods"]["metric"]["name"] == rule["name"]["as"]
    page = (ROOT / "docs/metrics.md").read_text()
    (name,) = set(re.findall(r"(mrse_\w+)_bucket", str(rule)))
    assert f"| `{name}` | histogram | `stage` |" in page
    assert '.stage("wait", ' in (ROOT / "service/http/recall.py").read_text()


def test_the_nightly_job_may_restart_one_deployment_and_shows_its_token_to_one_step() -> None:
    objects = rendered("everything")
    role = find(objects, "Role", "mrse-recall-nightly")
    assert role["rules"] == [
        {
            "apiGroups": ["apps"],
            "resources": ["deployments"],
            "resourceNames": ["mrse-recall"],
            "verbs": ["get", "patch"],
        }
    ]
    binding = find(objects, "RoleBinding", "mrse-recall-nightly")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    (job,) = [pod for name, pod in pods(objects) if name.endswith("-nightly")]
    assert binding["subjects"][0]["name"] == job["spec"]["serviceAccountName"]
    shown = [each["name"] for each in containers(job) if "token" in {m["name"] for m in each["volumeMounts"]}]
    assert shown == ["restart"]
    assert containers(job)[-1]["command"] == ["kubectl", "rollout", "restart", "deployment/mrse-recall"]


def test_on_a_volume_the_night_replaces_the_index_once_it_is_verified_and_needs_no_token() -> None:
    job = dict(pods(rendered("volume")))["mrse-recall-nightly"]
    steps = {each["name"]: each["command"] for each in containers(job)}
    assert [*steps] == ["check", "embed", "build", "verify", "replace"]
    assert steps["embed"][2:5] == ["/data/shop", "--bundle", "/data/bundle"]
    assert [name for name, command in steps.items() if "/data/index" in command] == ["replace"]
    assert "Role" not in {each["kind"] for each in rendered("volume")}
    assert find(rendered("volume"), "Deployment")["spec"]["strategy"] == {"type": "Recreate"}


def test_every_command_of_ours_exists_with_its_options(objects: list[Object]) -> None:
    import typer

    root: Any = typer.main.get_command(build())
    commands = [each["command"] for _, pod in pods(objects) for each in containers(pod)]
    ours = [arguments for program, *arguments in commands if program == "mrse"]
    assert ["serve"] in ours
    for arguments in ours:
        command, rest = root, list(arguments)
        while hasattr(command, "commands"):
            command = command.commands[rest.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {each for each in rest if each.startswith("--")} <= options, arguments
    assert {program for program, *_ in commands} <= {"mrse", "sh", "kubectl"}


def test_whoever_installs_it_is_told_how_to_ask() -> None:
    rendered("default")
    assert "port-forward service/shop 8080:80" in notes({}, "shop")
    assert "set accessKeys.existing" in notes({}, "shop")
    assert "accessKeys" not in notes({"accessKeys": {"existing": "k"}}, "shop")
