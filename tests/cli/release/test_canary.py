"""The steps that touch traffic, against a service that is asked over HTTP: what it tells decides."""

from __future__ import annotations

import re
import threading
from typing import Any

import httpx
import pytest

from cli.release.canary import _Watch
from cli.release.commands import StepFailed
from cli.release.exposition import Told
from cli.release.plan import PlanError, Services
from cli.release.runner import go_back, run
from cli.release.services import Fleet, ServicesError
from cli.release.state import StateFile, Step
from common.files import file_stamp
from tests.cli.release.made import Folder


def test_a_canary_that_does_no_harm_is_promoted_and_one_can_go_back(made: Folder) -> None:
    result = made.run()
    assert (result.verdict, made.arms()) == ("promoted", {"control": "new"})
    file = StateFile(made.folder / "releases")
    assert file.state.current is None
    (past,) = file.state.history
    assert (past.before, past.served) != (None, None)
    plan = made.plan()
    back = go_back(plan, Fleet(plan.services), made.told.append)
    assert (back.says, made.arms()) == ("back from new to old", {"control": "old"})
    with pytest.raises(PlanError, match="is not there any more"):  # and forth: no index was made here
        go_back(plan, Fleet(plan.services), made.told.append)
    assert made.arms() == {"control": "old"}


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (
            {"each": {"control": {"answered": 90}, "canary": {"internal": 10}}},
            "errors 100.00%, control 0.00%",
        ),
        ({"empty_each": 5}, "empty 50.00%"),
        ({"slow": True}, "p95 475.5 ms, control 9.5"),
        ({"each": {"control": {"answered": 90}, "canary": {}}}, "the canary got 0 requests"),
    ],
    ids=["errors", "empty", "latency", "no traffic"],
)
def test_a_guardrail_that_trips_takes_the_canary_back(made: Folder, harm: dict[str, Any], said: str) -> None:
    vars(made.service).update(harm)
    if "got 0" in said:
        made.canary["longest_s"] = 0.05
    result = made.run()
    assert (result.verdict, made.arms()) == ("rolled back", {"control": "old"})
    assert said in result.says
    past = StateFile(made.folder / "releases").state.history[-1]
    assert (past.verdict, past.served) == ("rolled back", None)


@pytest.mark.parametrize("ill", [{"ready": False}, {"status": 503}], ids=["not ready", "away"])
def test_a_service_that_falls_ill_takes_the_canary_back(
    made: Folder, ill: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, exposition = made.service, made.service.exposition
    made.canary["watch_s"] = 30

    def falls_ill() -> str:
        text = exposition()
        if service.looks == 6:
            vars(service).update(ill)
        return text

    def heals(line: str) -> None:
        if line.startswith("[!]"):
            service.ready, service.status = True, 200
        made.told.append(line)

    monkeypatch.setattr(service, "exposition", falls_ill)
    plan = made.plan()
    release = made.begin(heals)
    result = run(release)
    assert plan.canary.watch_s == 30
    assert (result.verdict, made.arms()) == ("rolled back", {"control": "old"})
    assert re.search("(is not ready|/metrics answers 503), for [0-9]+ s", result.says)


def test_the_switch_takes_traffic_away_before_the_reload(made: Folder) -> None:
    made.services["admin"] = made.url
    made.service.empty_each = 10
    plan = made.plan()
    fleet = Fleet(plan.services, "secret")
    result = run(made.begin(made.told.append, fleet))
    assert result.verdict == "rolled back"
    assert made.service.switched == [
        ("/admin/experiments", {"experiments": {"towers": {"on": on}}}, "Bearer secret")
        for on in (False, True)
    ]


def test_a_killed_watch_goes_on_with_what_it_counted(made: Folder) -> None:
    made.canary |= {"watch_s": 30, "requests": 40}
    release = made.begin(made.told.append)
    save = release.file.save

    def save_and_stop() -> None:
        save()
        if release.found("watch").get("requests", {}).get("canary", 0) >= 20:
            release.file.save = save  # type: ignore[method-assign]
            raise KeyboardInterrupt

    release.file.save = save_and_stop  # type: ignore[method-assign]
    with pytest.raises(StepFailed, match="stopped while the canary answers 10%"):
        run(release)
    assert made.steps()["watch"] == "failed"
    assert made.arms() == {"control": "old", "canary": "new"}
    (made.folder / "shop/items.csv").write_text("id,title\na,cup\nb,hat\n")  # the next night's: no matter
    made.canary["watch_s"] = 0
    began = StateFile(made.folder / "releases").state.current
    assert made.run().verdict == "promoted"
    assert f"release {began and began.release} goes on" in made.told
    assert made.arms() == {"control": "new"}


def test_a_service_that_does_not_take_it_keeps_what_served(made: Folder) -> None:
    made.service.takes = False
    with pytest.raises(
        StepFailed, match=r"not taken within 0\.3 s: canary is not loaded; what served before"
    ):
        made.run()
    assert made.arms() == {"control": "old"}
    assert made.steps()["canary"] == "failed"
    made.service.takes = True
    assert made.run().verdict == "promoted"


def test_a_watch_does_not_end_before_latency_counts(made: Folder) -> None:
    made.canary["settle_s"] = 0.2  # longer than watch_s
    made.service.slow = True
    result = made.run()
    assert (result.verdict, made.arms()) == ("rolled back", {"control": "old"})
    assert "p95 475.5 ms" in result.says


def test_each_service_has_its_own_clock_from_when_it_was_first_ready(made: Folder) -> None:
    made.canary["silent_s"] = 30
    release = made.begin(made.told.append)
    release.current.steps["watch"] = Step(state="running", began=0)
    watch = _Watch(release)

    def look(at: float, **ready: bool) -> str | None:
        return watch._silent({name: Told({}, {}, its, 0) for name, its in ready.items()}, {}, at)

    assert look(0, a=True, b=True) is None
    assert look(20, a=False, b=True, new=False) is None
    assert look(40, a=True, b=False, new=False) is None  # one after the other, and one that starts
    assert look(60, a=True, b=False, new=False) is None
    watch = _Watch(release)  # as after a kill
    assert look(70, a=True, b=False, new=False) == "b is not ready, for 30 s"
    assert look(80, a=True, b=True, new=True) is None
    assert look(90, new=False) is None
    assert look(120, new=False) == "new is not ready, for 30 s"
    assert watch._silent({}, {made.url: "gone"}, 130) is None
    assert watch._silent({}, {made.url: "gone"}, 160) == f"{made.url} does not answer: gone, for 30 s"


@pytest.mark.parametrize("command", [False, True], ids=["it watches its file", "by a command"])
def test_a_service_that_refused_what_was_promoted_is_asked_again(made: Folder, command: bool) -> None:
    asked: list[int] = []
    service = made.service

    def stamp() -> Any:
        return (made.folder / "reloads").read_text() if command else file_stamp(made.config)

    if command:
        (made.folder / "reloads").touch()
        made.services["reload"] = ["sh", "-c", f"echo >> {made.folder}/reloads"]
    configured, seen = service._configured, stamp()

    def watched() -> Any:
        """What it has loaded: it looks at a file once, each time that it is written."""
        nonlocal seen
        if stamp() == seen:
            return service.loaded
        seen = stamp()
        wanted = configured()
        if list(wanted) == ["control"] and wanted["control"][0] == "new":
            asked.append(1)
            if len(asked) == 1:  # it refuses, as one whose disk does not show it the new files yet
                return service.loaded
        return wanted

    service._configured = watched  # type: ignore[method-assign]
    with pytest.raises(ServicesError, match="not taken within"):
        made.run()
    assert made.steps()["promote"] == "failed"
    assert made.arms() == {"control": "new"}  # the file says so, and will not say anything else
    assert made.run().verdict == "promoted"
    assert len(asked) == 2


def test_services_are_asked_side_by_side_so_that_dead_ones_cost_the_time_of_one(made: Folder) -> None:
    together = threading.Barrier(12)  # nobody answers before all are asked

    def answers(request: httpx.Request) -> httpx.Response:
        together.wait(60)
        if request.url.port == 9007:
            raise httpx.ConnectTimeout("timed out")
        return httpx.Response(200, text="mrse_ready 1\n")

    urls = [f"http://127.0.0.1:{9000 + n}" for n in range(12)]
    fleet = Fleet(Services(urls=tuple(urls)))
    fleet._client = httpx.Client(transport=httpx.MockTransport(answers))
    told, away = fleet.look()
    assert list(told) == [url for url in urls if url != urls[7]]
    assert away == {urls[7]: "timed out"}
    fleet.close()
