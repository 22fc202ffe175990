"""When the settings are read again in a service of one process."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service import reloading
from service.errors import StartError
from service.reload_retry import FIRST_S, LONGEST_S, ReloadRetry
from service.reloading import Reloader
from service.runtime import Runtime
from tests.support.serving import make_settings


def test_what_was_refused_is_tried_less_and_less_often_until_it_is_taken() -> None:
    retry = ReloadRetry()
    assert not retry.is_due(0)
    pauses = [retry.refused(0) for _ in range(7)]
    assert pauses == [30, 60, 120, 240, 480, 600, 600]
    assert not retry.is_due(LONGEST_S - 1)
    assert retry.is_due(LONGEST_S)
    assert not retry.is_due(LONGEST_S), "one try at a time"
    retry.refused(0)
    retry.over()
    assert not retry.is_due(LONGEST_S)
    assert retry.refused(0) == FIRST_S


@pytest.mark.parametrize("watched", [True, False])
async def test_a_refused_reload_is_tried_again_only_where_the_file_is_watched(
    watched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "_LOOK_S", 0.001)
    now, results, missing = 0.0, list[str](), ["the index is still being copied"]

    async def reload(settings: Any) -> None:
        if missing:
            raise StartError(missing[0])

    runtime = SimpleNamespace(ready=True, reload=reload, metrics=SimpleNamespace(reloaded=results.append))
    reloader = Reloader(
        cast(Runtime, runtime), lambda: make_settings(None, None), again=watched, clock=lambda: now
    )
    running = asyncio.create_task(reloader.run())
    reloader.ask()
    async with asyncio.timeout(30):
        while not results:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        missing.clear()
        await asyncio.sleep(0.02)
        assert results == ["refused"], "its pause has not passed"
        now = FIRST_S
        while watched and len(results) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
    assert results == (["refused", "taken"] if watched else ["refused"])
    running.cancel()
