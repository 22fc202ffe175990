"""Workers that die, hang or never come up: when they are started again, and when that is given up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]

#: Small real processes under the real supervisor, in a process of its own, for signals are a process's.
_PROGRAM = """
import json, logging, multiprocessing, os, signal, socket, sys, time
from service.errors import StartError
from service import reload_retry
from service.process import supervisor, watched
reload_retry.FIRST_S = 0.01
watched.FIRST_PAUSE_S, watched.LONGEST_PAUSE_S = 0.01, 0.06
supervisor._LOOK_S, watched.LOOKS = 0.1, 3
context = multiprocessing.get_context("fork")
told, ends, reloads = [], [], []

class Note(logging.Handler):
    def emit(self, record):
        told.append([record.getMessage(), getattr(record, "again_in_s", None)])
        if HANG_UP and "reloaded" in told[-1][0] and not (AGAIN and "not " in told[-1][0]):
            os.kill(os.getpid(), signal.SIGTERM)

logging.getLogger().addHandler(Note())
logging.getLogger().setLevel("INFO")
started, given = 0, []

def serve(pipe):
    pipe.send(("read", str(started).encode()))
    pipe.send(("loaded", []))
    assert pipe.recv() == "accept"
    pipe.send(("accepts", []))
    while True:
        pipe.send(("lives", []))
        if pipe.poll(0.05):
            sys.exit(0 if pipe.recv() in ("leave", "quit", "retire") else 9)

def serve_and_die(pipe):
    pipe.send(("read", str(started).encode()))
    pipe.send(("loaded", []))
    assert pipe.recv() == "accept"
    pipe.send(("accepts", []))
    sys.exit(3)

def hang(pipe):
    pipe.send(("loaded", []))
    signal.pause()

def fail(pipe):
    pipe.send(("failed", ["the bundle is damaged"]))
    sys.exit(2)

def die(pipe):
    signal.signal(signal.SIGBUS, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGBUS)

def leave(pipe):
    sys.exit(3)

def start(number, early, settings):
    global started
    given.append(None if settings is None else settings.decode())
    plan = PLAN
    behaviour = plan[min(started, len(plan) - 1)]
    started += 1
    ours, its = context.Pipe()
    def child():
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        ours.close()
        behaviour(its)
    process = context.Process(target=child)
    process.start()
    its.close()
    if started == STOP_AFTER:
        os.kill(os.getpid(), signal.SIGTERM)
    if HANG_UP and started == 1:  # before any is up: it is done when they are
        os.kill(os.getpid(), signal.SIGHUP)
    return process, ours

listener = socket.create_server(("127.0.0.1", 0))
watch = supervisor.Supervisor(
    start, [listener], WORKERS, 1.0, lambda number, how: ends.append(how), reloaded=reloads.append,
    again=AGAIN,
)
failure = None
try:
    watch.run()
except StartError as error:
    failure = str(error)
print(json.dumps({"told": told, "given": given, "ends": ends, "reloads": reloads, "started": started,
                  "failure": failure, "listens": listener.fileno() != -1}))
"""


def supervise(
    plan: str, workers: int = 1, stop_after: int = 0, hang_up: bool = False, again: bool = False
) -> Any:
    given = f"STOP_AFTER, WORKERS, HANG_UP, AGAIN = {stop_after}, {workers}, {hang_up}, {again}\n"
    program = given + _PROGRAM.replace("PLAN", plan)
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, timeout=100, check=True, capture_output=True, text=True
    )
    return json.loads(ended.stdout.splitlines()[-1])


def pauses(found: Any) -> list[float]:
    return [again for message, again in found["told"] if again is not None]


def messages(found: Any) -> list[str]:
    return [message for message, _ in found["told"]]


def test_where_no_worker_ever_comes_up_it_gives_up_and_says_how_they_ended() -> None:
    found = supervise("[die]")
    assert found["failure"] == "no worker came up; the last one ended: signal SIGBUS"
    assert found["started"] == 4
    assert pauses(found)[:3] == [0.01, 0.02, 0.04]
    assert messages(found).count("worker ended: signal SIGBUS") == 4
    assert found["ends"] == ["signal"] * 4


def test_a_worker_that_says_why_it_cannot_start_ends_the_service_at_once() -> None:
    found = supervise("[fail]", workers=3)
    assert found["failure"] == "the bundle is damaged"


def test_workers_that_die_at_start_are_started_less_and_less_often_but_for_ever() -> None:
    found = supervise("[serve, leave]", workers=2, stop_after=8)
    assert found["failure"] is None
    assert pauses(found)[:5] == [0.01, 0.02, 0.04, 0.06, 0.06]
    assert set(found["ends"]) == {"exit", None}
    assert "worker ended: exit code 3" in messages(found)
    assert not found["listens"]


def test_a_worker_that_hangs_is_killed_and_started_again() -> None:
    found = supervise("[hang, serve]", stop_after=2)
    assert found["ends"][0] == "hung"
    assert "worker ended: it hung" in messages(found)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("[serve]", "reloaded"),
        ("[serve, serve, fail, serve]", "not reloaded, everything stays as it was: the bundle is damaged"),
        (
            "[serve, serve, serve, die, serve]",
            "reloaded 1 of 2 workers, the others stay as they were: signal SIGBUS",
        ),
    ],
)
def test_reloaded_is_said_only_when_it_was(plan: str, said: str) -> None:
    found = supervise(plan, workers=2, hang_up=True)
    assert [message for message in messages(found) if "reloaded" in message] == [said]
    assert found["reloads"] == ["taken" if said == "reloaded" else "refused"]
    assert found["failure"] is None


def test_a_worker_that_dies_comes_back_with_the_settings_that_it_had() -> None:
    # So that a file which was broken since, or which a reload refused, keeps no worker away.
    found = supervise("[serve_and_die, fail, serve]", stop_after=3)
    assert found["given"] == [None, "1", "1"]
    found = supervise("[serve, fail, serve]", hang_up=True)
    assert found["given"] == [None, None], "a reload reads them anew"


def test_a_reload_that_was_refused_is_tried_again_where_nobody_is_there_to_ask() -> None:
    found = supervise("[serve, fail, serve]", hang_up=True, again=True)
    assert found["reloads"] == ["refused", "taken"]
    assert found["ends"] == [None] * 3, "the one that could not be loaded is none that anybody lost"
    assert messages(found)[-1] != "not reloaded, everything stays as it was: the bundle is damaged"
