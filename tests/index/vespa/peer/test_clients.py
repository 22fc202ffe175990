"""Both clients pass the list of cases against Vespa's container as they do against the embedded index."""

from __future__ import annotations

from pathlib import Path

from devtools.redis import redis_server
from devtools.vespa_peer.peer import start_peer
from tests.index.vespa.peer.test_service import mrse
from tests.support import shop
from tests.support.clients import CASES, build_typescript, check_python, run_node
from tests.support.serving import make_settings, serving
from tests.support.vespa_peer import require_peer


def test_the_clients_pass_their_cases(tmp_path: Path) -> None:
    require_peer()
    bundle = shop.bundle(tmp_path / "bundle")
    embeddings = shop.write_embeddings(bundle, tmp_path / "embeddings", texts=True)
    package = tmp_path / "package"
    added = mrse("vespa", "add-version", embeddings, "--package", package, "--titles")
    with start_peer(Path(added["application"]), nodes=2) as peer, redis_server(tmp_path) as redis:
        mrse("vespa", "feed", embeddings, "--package", package, "--endpoint", peer.url)
        mrse("produce", "items", embeddings, "--redis", redis.url)
        settings = make_settings(
            bundle.path,
            package / "versions" / f"{added['document_type']}.json",
            index={"engine": "vespa"},
            vespa={"url": peer.url},
            redis={"url": redis.url, "timeout_ms": 2000},
        )
        with serving(settings) as server:
            check_python(server.url)
            built = build_typescript(tmp_path)
            assert f"# pass {len(CASES)}\n" in run_node(built, "cases", MRSE_URL=server.url)
