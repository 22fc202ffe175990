"""Experiments changed while the service runs: by the admin API and by the file, in every worker."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from devtools.pages import blocks
from devtools.waiting import free_port, wait_for
from service.errors import StartError
from service.live_experiments import LOOK_EVERY_S, LiveExperiments
from service.settings import SettingsError
from tests.service.conftest import Demo
from tests.support.serving import Server, make_settings, serving

ROOT = Path(__file__).parents[3]
#: Without certificates, whose loading takes longer than an answer.
post = partial(httpx.post, verify=False)
WITH_TOKEN = {"authorization": "Bearer hush"}
ARMS = {"rrf": {"weight": 1, "recall": {"merge": "rrf"}}, "score": {"weight": 0}}


def settings(demo: Demo, folder: Path, **more: Any) -> Any:
    towers = {
        "control": {"weight": 1},
        "treatment": {"weight": 0, "bundle": demo.other_bundle.path, "index": demo.other_index},
    }
    return make_settings(
        demo.bundle.path,
        demo.index,
        server={"admin_token": "hush"},
        assignment={"path": folder / "live.json", **more},
        experiments={"merge": ARMS, "towers": towers},
        access={"audit": folder / "audit"},
    )


@pytest.fixture
def server(demo: Demo, tmp_path: Path) -> Iterator[Server]:
    with serving(settings(demo, tmp_path)) as running:
        yield running


def asked(server: Server, **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = post(
        f"{server.url}/recall", json={"query": "wool hat", "k": 3, **more}, timeout=60
    ).json()
    return answer


def change(server: Server, body: Any, status: int = 200) -> dict[str, Any]:
    url = f"{server.url}/admin/experiments"
    response = post(url, json=body, headers=WITH_TOKEN, timeout=60)
    assert response.status_code == status, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_a_switch_holds_in_the_next_answer_and_in_that_of_other_workers(
    demo: Demo, server: Server, tmp_path: Path
) -> None:
    with serving(settings(demo, tmp_path)) as second:
        for each in (server, second):
            assert asked(each, explain=True)["explain"]["merge"] == "rrf"
        told = change(server, {"experiments": {"merge": {"on": False}}})
        assert not told["experiments"]["merge"]["on"]
        assert told["experiments"]["merge"]["weights"] == {"rrf": 1.0, "score": 0.0}
        answer = asked(server, explain=True)
        assert answer["variant"] == {"towers": "control"}
        assert answer["explain"]["merge"] == "calibrated"
        wait_for(lambda: asked(second)["variant"] == {"towers": "control"})
        change(second, {"experiments": {"merge": {"on": True, "weights": {"rrf": 0, "score": 2}}}})
        assert asked(second)["variant"]["merge"] == "score"
        listed = httpx.get(f"{server.url}/admin/experiments", headers=WITH_TOKEN).json()
        assert listed["experiments"]["merge"]["weights"] == {"rrf": 0.0, "score": 2.0}
        assert asked(server)["variant"]["merge"] == "score"  # whom somebody asks has looked
    assert json.loads((tmp_path / "live.json").read_bytes())["experiments"] == {
        "merge": {"on": True, "weights": {"rrf": 0.0, "score": 2.0}}
    }
    lines = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]
    assert {line["what"] for line in lines} == {"experiments"}
    assert LOOK_EVERY_S <= 0.25, "a switch is to hold within a second"


def test_the_page_s_kill_switch_changes_one_key(server: Server, tmp_path: Path) -> None:
    by_call, by_hand = blocks("docs/experiments.md", "sh", run=True)
    file = tmp_path / "live.json"
    file.write_text('{"holdout": 0.0, "experiments": {"merge": {"ramp": 1.0}, "towers": {"on": true}}}')
    commands = [by_call.replace("http://127.0.0.1:8080", server.url)]
    if shutil.which("jq"):
        commands.append(by_hand.replace("experiments.json", str(file)))
    for command in commands:
        change(server, {"experiments": {"merge": {"on": True}}})
        subprocess.run(
            ["bash", "-euc", command.replace("i2i", "merge")],
            cwd=tmp_path,
            env=os.environ | {"KEY": "hush"},
            check=True,
            timeout=60,
        )
        wait_for(lambda: asked(server)["variant"] == {"towers": "control"})
        kept = json.loads(file.read_bytes())["experiments"]
        assert kept == {"merge": {"on": False, "ramp": 1.0}, "towers": {"on": True}}


def test_weights_of_towers_move_to_the_other_bundle(demo: Demo, server: Server) -> None:
    assert asked(server)["model_version"] == demo.bundle.version
    change(server, {"experiments": {"towers": {"weights": {"control": 0, "treatment": 1}}}})
    assert asked(server)["model_version"] == demo.other_bundle.version
    change(server, {"experiments": {"towers": {"on": False}}})
    answer = asked(server)
    assert (answer["model_version"], answer["variant"]) == (demo.bundle.version, {"merge": "rrf"})
    assert httpx.get(f"{server.url}/readyz").status_code == 200


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({"experiments": {"color": {"on": False}}}, "experiments.color", "there is no such experiment"),
        ({"experiments": {"merge": {"weights": {"z": 1}}}}, "experiments.merge.weights.z", "no such arm"),
        ({"experiments": {"merge": {"weights": {"rrf": 0}}}}, "experiments.merge.weights", "no arm has"),
        ({"experiments": {"merge": {"ramp": 2}}}, "experiments.merge.ramp", "less than or equal to 1"),
        ({"experiments": {"merge": {"off": True}}}, "experiments.merge.off", "no such field"),
    ],
)
def test_a_change_that_cannot_be_is_told_and_changes_nothing(
    server: Server, tmp_path: Path, body: Any, field: str, reason: str
) -> None:
    problem = change(server, body, 422)
    assert problem["errors"][0]["field"] == field
    assert reason in problem["errors"][0]["reason"]
    assert not (tmp_path / "live.json").exists()
    assert asked(server)["variant"]["merge"] == "rrf"


def test_where_the_file_cannot_be_written_nothing_is_changed(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".live.json.lock").mkdir()  # as where its folder may only be read: no lock can be made
    problem = change(server, {"experiments": {"merge": {"on": False}}}, 507)
    assert problem["detail"].startswith("nothing was changed: ")
    assert asked(server)["variant"]["merge"] == "rrf"


def test_only_who_may_write_and_only_where_there_is_a_file(demo: Demo, server: Server) -> None:
    assert post(f"{server.url}/admin/experiments", json={}).status_code == 401
    with serving(make_settings(demo.bundle.path, demo.index, server={"admin_token": "hush"})) as without:
        assert "assignment.path" in change(without, {"holdout": 0.1}, 501)["detail"]


def test_a_slip_in_the_file_changes_nothing_and_what_is_not_there_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, counted = tmp_path / "live.json", []
    wanted = make_settings(None, None, experiments={"merge": ARMS})
    live = LiveExperiments(path, lambda _: None, counted.append)
    path.write_text('{"experiments": {"merge": {"on": false}, "absent": {"on": false}}}')
    assert live.look()
    assert live.book(wanted).assign("u", None).arms == {"towers": "control"}
    assert "experiments.absent: there is no such experiment" in caplog.text
    path.write_text('{"experiments": {"merge": {"on": false}')
    with caplog.at_level(logging.ERROR):
        assert not live.look()
    assert "stay as they were" in caplog.text
    assert counted == ["read", "failed", "failed"]
    with pytest.raises(StartError, match=r"live\.json"):
        LiveExperiments(path, lambda _: None)
    path.unlink()
    assert live.look()
    assert live.book(wanted).assign("u", None).arms == {"towers": "control", "merge": "rrf"}


def test_a_plan_of_an_experiment_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"there is no experiments\.merge"):
        make_settings(None, None, assignment={"experiments": {"merge": {"ramp": 0.5}}})
    with pytest.raises(SettingsError, match="the name is taken"):
        make_settings(None, None, experiments={"holdout": {"a": {}}})


def test_recall_and_similar_give_a_user_and_a_session_the_same_arms(demo: Demo) -> None:
    experiments = {"merge": {"a": {"weight": 1}, "b": {"weight": 1}}}
    wanted = make_settings(demo.bundle.path, demo.index, experiments=experiments)
    with serving(wanted) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        item = asked(server)["items"][0]["item_id"]
        seen = set()
        for n in range(8):
            for who in ({"user_id": f"u{n}"}, {"session_id": f"s{n}"}):
                arms = [asked(server, **who)["variant"]["merge"] for _ in range(2)]
                arms.append(client.get(f"/items/{item}/similar", params=who).json()["variant"]["merge"])
                assert len(set(arms)) == 1, who
                seen.add(arms[0])
            both = asked(server, user_id=f"u{n}", session_id="other")["variant"]["merge"]
            assert both == asked(server, user_id=f"u{n}")["variant"]["merge"], "the user comes first"
        assert seen == {"a", "b"}
        assert len({asked(server)["variant"]["merge"] for _ in range(40)}) == 2, "each request its own"
    by_query = make_settings(
        demo.bundle.path, demo.index, experiments=experiments, assignment={"without_user": "query"}
    )
    with serving(by_query) as server:
        assert len({asked(server)["variant"]["merge"] for _ in range(12)}) == 1


def test_the_file_is_followed_by_every_worker_without_a_signal(demo: Demo, tmp_path: Path) -> None:
    port = free_port()
    config, live = tmp_path / "mrse.toml", tmp_path / "live.json"
    config.write_text(
        f'[server]\nport = {port}\nworkers = 2\n[bundle]\npath = "{demo.bundle.path}"\n[index]\n'
        f'path = "{demo.index}"\n[assignment]\npath = "{live}"\n'
        '[experiments.merge.rrf]\nrecall = {merge = "rrf"}\n'
    )
    command = [sys.executable, "-c", "from cli.main import main; main()", "serve", "--config", str(config)]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)

    def variants() -> set[str]:
        found = set()
        for _ in range(12):  # connections of their own, so that both workers are asked
            try:
                answer = post(f"http://127.0.0.1:{port}/recall", json={"query": "hat"}, timeout=10)
                found.add(str(answer.json().get("variant")))
            except httpx.HTTPError:
                found.add("away")
        return found

    try:
        wait_for(lambda: variants() == {"{'towers': 'control', 'merge': 'rrf'}"})
        live.write_text('{"experiments": {"merge": {"on": false}}}')
        wait_for(lambda: variants() == {"{'towers': 'control'}"})
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
