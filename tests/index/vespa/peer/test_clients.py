"""Both clients pass the list of cases against Vespa's container as they do against the embedded index."""

from __future__ import annotations

from pathlib import Path

from devtools.redis import redis_server
from tests.index.vespa.peer.test_service import Rollout, mrse, rollout
from tests.support.clients import CASES, build_typescript, check_python, run_node
from tests.support.serving import make_settings, serving

__all__ = ["rollout"]


def test_the_clients_pass_their_cases(rollout: Rollout, tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        mrse("produce", "items", rollout.embeddings[0], "--redis", redis.url)
        settings = make_settings(
            rollout.bundles[0].path,
            rollout.version_file(0),
            index={"engine": "vespa"},
            vespa={"url": rollout.peer.url},
            redis={"url": redis.url, "timeout_ms": 2000},
        )
        with serving(settings) as server:
            check_python(server.url)
            built = build_typescript(tmp_path)
            assert f"# pass {len(CASES)}\n" in run_node(built, "cases", MRSE_URL=server.url)
