"""Clients that keep asking while something else happens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from devtools.waiting import wait_for


@contextmanager
def load(url: str) -> Iterator[list[tuple[int, str, str]]]:
    """Four clients that ask until the block ends; (status, model version, index version) of every answer."""
    answers: list[tuple[int, str, str]] = []
    stop = threading.Event()

    def ask(number: int) -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            asked = 0
            while not stop.is_set():
                asked += 1
                body = {"query": "red shoes", "user_id": f"u{number}-{asked}", "k": 5}
                answer = client.post("/recall", json=body)
                content = answer.json()
                answers.append(
                    (answer.status_code, content.get("model_version", ""), content.get("index_version", ""))
                )

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def wait_for_more(answers: list[tuple[int, str, str]], count: int) -> list[tuple[int, str, str]]:
    """The next ``count`` answers."""
    seen = len(answers)
    wait_for(lambda: len(answers) >= seen + count)
    return answers[seen:]
