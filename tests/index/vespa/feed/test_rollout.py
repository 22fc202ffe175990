"""Two versions are fed while changes come, and feeders are killed: both end as all changes leave them."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.redis import redis_server
from devtools.vespa_fakes.document_server import Chaos, DocumentServer
from devtools.vespa_fakes.rollout import Rollout, changes_for


@pytest.mark.slow
async def test_a_rollout_with_live_changes_and_kills_ends_as_all_changes_leave_it(tmp_path: Path) -> None:
    changes = changes_for(400, 400, seed=7)
    chaos = Chaos(seed=3, busy=0.02, reset_after=0.01, unavailable=0.01)
    with redis_server(tmp_path) as redis:
        async with DocumentServer(chaos=chaos, by_type=True) as server:
            rollout = await Rollout.prepare(tmp_path, server, redis.url, 400)
            await rollout.run(changes, [(200, "changes"), (400, "blue"), (900, "changes")])
            assert rollout.wrong(changes) == []
            assert all(versions == sorted(versions) for versions in server.history.values())
