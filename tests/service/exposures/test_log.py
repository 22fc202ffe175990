"""The exposure log: what is written, what is counted, and that no request waits for it."""

from __future__ import annotations

import gc
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from pyarrow import parquet
from redis import Redis

from artifacts.exposures import client_id, query_hash
from devtools.redis import RedisServer
from devtools.waiting import wait_for
from service.errors import StartError
from service.experiments import ExperimentBook, Unit
from service.exposures import Exposure, ExposureLog
from service.exposures.event import event_of
from service.recall.routes.outcome import Candidate, CandidateColumns, RouteOutcome
from service.recall.settings import composed_recall
from service.settings import Arm
from service.settings.load import SettingsError
from tests.service.conftest import Demo
from tests.support.serving import make_settings, serving

BOOK = ExperimentBook({"merge": {"a": Arm(weight=3), "b": Arm(weight=1)}}, composed_recall()())


def exposure(request: str = "r1", items: int = 2, user: str = "u42") -> Exposure:
    its: list[Any] = [
        {
            "item_id": f"i{n}",
            "score": 1.0,
            "sources": [
                {"route": "i2i", "rank": 1, "score": 1.0, "trigger": "t"},
                {"route": "i2i", "rank": 2, "score": 1.0, "trigger": "s"},
                *([{"route": "q2i", "rank": 1, "score": 1.0}] if n % 2 else []),
            ],
            "team": "one" if n % 2 else "two",
        }
        for n in range(items)
    ]
    assignment = BOOK.assign(user, None)
    unit = Unit("user", user)
    routes = {"q2i": RouteOutcome("shed")}
    return Exposure(
        1.5e9, request, unit, "red shoes", assignment, "b1", "b1-i+3", its, routes, False, ["no_i2i"], 4.5
    )


def told(of: Exposure, key: str) -> Any:
    event = event_of(of, key)
    assert event.items == len(of.items)
    assert b"\n" not in event.line
    return orjson.loads(event.line)


class Counted(Counter[str]):
    def __call__(self, result: str, many: int) -> None:
        self[result] += many


def log_of(counted: Counted, **knobs: Any) -> ExposureLog:
    return ExposureLog(make_settings(None, None, exposures=knobs), counted)


def lines_of(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("exposures-*.jsonl"))
    return [orjson.loads(line) for file in files for line in file.read_bytes().splitlines()]


def test_an_event_tells_arms_versions_and_items_by_route_and_no_user_or_query() -> None:
    event = told(exposure(), "secret")
    arm = BOOK.assign("u42", None).arms["merge"]
    assert event == {
        "format": 1,
        "application": "mrse-recall",
        "query_id": "r1",
        "client_id": client_id("u42", "secret"),
        "timestamp": "2017-07-14T02:40:00.000+00:00",
        "query_response_hit_ids": ["i0", "i1"],
        "query_attributes": {
            "unit": "user",
            "query_hash": query_hash("red shoes", "secret"),
            "arms": {"towers": "control", "merge": arm},
            "forced": [],
            "shares": {"towers": 1.0, "merge": 0.75 if arm == "a" else 0.25},
            "bundle": "b1",
            "index": "b1-i+3",
            "routes": {"i2i": ["i0", "i1"], "q2i": ["i1"]},
            "teams": ["two", "one"],
            "partial": False,
            "degraded": ["no_i2i"],
            "took_ms": 4.5,
        },
    }
    assert b"u42" not in orjson.dumps(event)
    assert b"red shoes" not in orjson.dumps(event)
    assert client_id("u42", "secret") != client_id("u42", "other")
    assert client_id("u42", "x" * 100) != client_id("u42", "x" * 64)
    # Outcomes are joined to logs of years by these.
    assert client_id("u42", "secret") == "725274a97895a6a604bcdb15213874b3"
    assert client_id("u42", "x" * 100) == "b583288bafc9934338e0c367c7d38033"


def test_teams_stand_at_the_places_of_their_items_also_behind_a_pinned_one() -> None:
    shown = exposure(items=3)
    first, second = shown.items[:2]
    first["pinned"] = True  # drafted, and put in front by a rule
    del second["team"]  # found by no route
    second["pinned"] = True
    assert told(shown, "")["query_attributes"]["teams"] == ["", "", "two"]
    for item in shown.items:
        item.pop("team", None)
    assert told(shown, "")["query_attributes"]["teams"] == []


@pytest.mark.parametrize("sink", ["jsonl", "parquet"])
def test_what_waits_is_written_at_the_end_and_reads_back(tmp_path: Path, sink: str) -> None:
    counted = Counted()
    log = log_of(counted, sink=sink, folder=tmp_path / "log", key="secret")
    log.start()
    for n in range(200):
        log.offer(exposure(f"r{n}"))
    log.close()
    assert counted == {"written": 200}
    if sink == "jsonl":
        found = lines_of(tmp_path / "log")
    else:
        (file,) = (tmp_path / "log").iterdir()
        found = parquet.read_table(file).to_pylist()
        for event in found:
            attributes = event["query_attributes"]
            attributes |= {name: dict(attributes[name]) for name in ("arms", "shares", "routes")}
    assert found == [told(exposure(f"r{n}"), "secret") for n in range(200)]


def test_files_are_rotated(tmp_path: Path) -> None:
    counted = Counted()
    log = log_of(counted, sink="jsonl", folder=tmp_path, rotate_mb=1)
    log.start()
    for n in range(600):
        log.offer(exposure(f"r{n}", items=150))
    log.close()
    assert counted["written"] == len(lines_of(tmp_path)) == 600
    assert len(list(tmp_path.glob("*.jsonl"))) > 1


class Stuck:
    """A sink that takes nothing until it is let go."""

    held = 0

    def __init__(self) -> None:
        self.go = threading.Event()
        self.fails = False

    def prepare(self) -> None: ...

    def write(self, events: Sequence[Any]) -> int:
        self.go.wait(30)
        if self.fails:
            raise OSError("no room")
        return len(events)

    def tend(self) -> int:
        return 0

    def close(self) -> int:
        return 0


def test_what_does_not_fit_is_counted_and_never_silent(tmp_path: Path) -> None:
    counted, stuck = Counted(), Stuck()
    log = log_of(counted, sink="jsonl", folder=tmp_path, waiting_items=1000)
    log._sink = stuck
    log.start()
    for n in range(100):
        log.offer(exposure(f"r{n}", items=99))
    assert counted == {"dropped": 90}, "ten answers of 99 items and one each are a thousand"
    stuck.go.set()
    wait_for(lambda: counted["written"] == 10)
    log.offer(exposure("later", items=99))
    log.close()
    assert counted == {"dropped": 90, "written": 11}


def test_a_sink_that_fails_is_counted_and_comes_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counted, sink = Counted(), Stuck()
    sink.go.set()
    sink.fails = True
    log = log_of(counted, sink="jsonl", folder=tmp_path)
    log._sink = sink
    log.start()
    for n in range(100):
        log.offer(exposure(f"r{n}"))
    wait_for(lambda: counted["failed"] == 100)
    assert caplog.text.count("exposures are not written: no room") == 1
    sink.fails = False
    log.offer(exposure())
    log.close()
    assert counted == {"failed": 100, "written": 1}


@pytest.mark.parametrize("sink", ["jsonl", "parquet"])
def test_a_disk_without_room_is_not_filled(tmp_path: Path, sink: str) -> None:
    counted = Counted()
    log = log_of(counted, sink=sink, folder=tmp_path, reserve_mb=10**9)
    log.start()
    log.offer(exposure())
    log.close()
    assert counted["failed"] == 1
    assert not counted["written"]
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = log_of(Counted(), sink="jsonl", folder=tmp_path / "file" / "log")
    with pytest.raises(StartError, match=r"exposures: .*file"):
        log.start()
    with pytest.raises(StartError, match="there is no Redis"):
        log_of(Counted(), sink="stream")
    with pytest.raises(SettingsError, match="sink jsonl needs a folder"):
        log_of(Counted(), sink="jsonl")


def test_a_stream_takes_events_and_a_redis_that_is_away_costs_only_events(redis: RedisServer) -> None:
    counted = Counted()
    log = log_of(counted, sink="stream", redis_url=redis.url, stream="shown", timeout_ms=500)
    log.start()
    for n in range(20):
        log.offer(exposure(f"r{n}"))
    wait_for(lambda: counted["written"] == 20)
    with Redis.from_url(redis.url) as client:
        entries: Any = client.xrange("shown")
    assert [orjson.loads(fields[b"event"])["query_id"] for _, fields in entries] == [
        f"r{n}" for n in range(20)
    ]
    redis.kill()
    log.offer(exposure())
    wait_for(lambda: counted["failed"] == 1)
    log.close()


def merged() -> Exposure:
    """An answer of 200 items as a merge alone makes it, of two routes."""
    names = [f"item-{n:07d}" for n in range(200)]
    near = CandidateColumns(names, [1.0] * 200, [{"route": "q2i", "rank": 1, "score": 1.0}] * 200)
    paths = [Candidate(names[n], 1.0, {"route": "i2i", "rank": 1, "score": 1.0}) for n in (7, 3, 7, 9)]
    gone = Candidate("not answered", 1.0, {"route": "i2i", "rank": 2, "score": 0.1})
    routes = {
        "q2i": RouteOutcome("ok", near, 200),
        "i2i": RouteOutcome("ok", [*paths, gone], 4),
        "p2i": RouteOutcome("skipped"),
    }
    items: list[Any] = [
        {
            "item_id": name,
            "score": 1.0,
            "sources": [near.sources[0], *(p.source for p in paths if p[0] == name)],
        }
        for name in names
    ]
    return exposure()._replace(items=items, routes=routes)


def test_the_items_of_routes_are_those_that_have_them_among_their_sources() -> None:
    plain = merged()
    found = told(plain, "")["query_attributes"]["routes"]
    assert found["i2i"] == [f"item-{n:07d}" for n in (3, 7, 9)]
    first: Any = {**plain.items[0], "fields": {}}
    slow = plain._replace(items=[first, *plain.items[1:]])  # which has more than a merge
    assert told(slow, "")["query_attributes"] == told(plain, "")["query_attributes"]
    assert told(plain._replace(items=[]), "")["query_attributes"]["routes"] == {}


def test_taking_an_exposure_costs_microseconds_and_leaves_nothing_to_the_collector(tmp_path: Path) -> None:
    """CPU time of this thread and the best of many, so that a busy machine does not matter."""
    log = log_of(Counted(), sink="jsonl", folder=tmp_path, waiting_items=10**9)
    one = merged()
    costs = []
    for _ in range(200):
        started = time.thread_time()
        for _ in range(5):
            log.offer(one)
        costs.append((time.thread_time() - started) / 5)
    assert min(costs) < 60e-6
    log.offer(one)
    line, items = log._queue[-1]
    assert items == 200
    assert not any(map(gc.is_tracked, (line, *log._queue[-1])))


def test_an_answer_of_which_no_event_can_be_made_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counted = Counted()
    log = log_of(counted, sink="jsonl", folder=tmp_path)
    log.start()
    log.offer(exposure("\ud800"))
    log.offer(exposure())
    log.close()
    assert counted == {"failed": 1, "written": 1}
    assert "exposures are not written: an unexpected error" in caplog.text


def test_every_answer_of_the_service_is_logged_once(demo: Demo, tmp_path: Path) -> None:
    experiments = {"merge": {"a": {"weight": 1}, "b": {"weight": 1, "forced": True}}}
    settings = make_settings(
        demo.bundle.path,
        demo.index,
        experiments=experiments,
        exposures={"sink": "jsonl", "folder": tmp_path, "key": "k"},
    )
    answers: dict[str, Any] = {}
    with serving(settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        for n in range(6):
            answer = client.post("/recall", json={"query": "wool hat", "k": 3, "user_id": f"u{n}"}).json()
            answers[answer["request_id"]] = answer
        body = {"requests": [{"query": "red", "k": 2, "session_id": "s"}] * 3}
        for entry in client.post("/recall/batch", json=body).json()["results"]:
            answers[entry["answer"]["request_id"]] = entry["answer"]
        item = next(iter(answers.values()))["items"][0]["item_id"]
        similar = client.get(f"/items/{item}/similar", params={"k": 4, "user_id": "u0"}).json()
        answers[similar["request_id"]] = similar
        forced = client.post(
            "/recall", json={"query": "wool hat", "k": 3}, headers={"X-Experiment": "merge=b"}
        ).json()
        answers[forced["request_id"]] = forced
        columnar = {"accept": "application/vnd.mrse.columnar+json"}
        table = client.post("/recall", json={"query": "hat", "k": 2}, headers=columnar).json()
        client.post("/recall", json={"k": -1})
        metrics = lambda: client.get("/metrics").text  # noqa: E731
        wait_for(lambda: 'mrse_exposures_total{result="written"} 12.0' in metrics())
    events = {event["query_id"]: event for event in lines_of(tmp_path)}
    assert len(events) == len(lines_of(tmp_path)) == 12
    for request_id, answer in answers.items():
        event = events[request_id]
        assert event["query_response_hit_ids"] == [each["item_id"] for each in answer["items"]]
        assert event["query_attributes"]["arms"] == answer["variant"]
        assert event["query_attributes"]["bundle"] == answer["model_version"]
        sources = [
            (each["item_id"], source["route"]) for each in answer["items"] for source in each["sources"]
        ]
        routes: dict[str, list[str]] = {}
        for item_id, route in dict.fromkeys(sources):
            routes.setdefault(route, []).append(item_id)
        assert event["query_attributes"]["routes"] == routes
    assert events[table["request_id"]]["query_response_hit_ids"] == table["items"]["item_id"]
    assert events[forced["request_id"]]["query_attributes"]["forced"] == ["merge"]
    assert events[similar["request_id"]]["client_id"] == client_id("u0", "k")
    kinds = Counter(event["query_attributes"]["unit"] for event in events.values())
    assert kinds == {"user": 7, "session": 3, "request": 2}
