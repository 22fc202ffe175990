"""The whole service asked for the held-out requests, and what is refused."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from artifacts.bundle import Bundle
from artifacts.shop.shop import Shop
from index.embedded.build import build_index
from models.embed import embed_shop
from models.evaluation import evaluate
from models.evaluation import service as asking
from models.evaluation.evaluate import Evaluation, Service
from models.evaluation.heldout import NothingHeldOut
from models.evaluation.service import ServiceError
from models.evaluation.subject import open_subject
from tests.support.serving import make_settings, serving


@pytest.fixture(scope="module")
def embeddings(bundle_path: Path, shop_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("service")
    embed_shop(Shop.open(shop_path), Bundle.load(bundle_path), folder / "embeddings")
    build_index(folder / "embeddings", folder / "index")
    return folder / "embeddings"


def evaluated(
    bundle: Path, shop: Path, embeddings: Path | None, url: str, *, worth: bool = False
) -> Evaluation:
    service = Service(url, worth=worth)
    return evaluate(bundle, shop, split="val", embeddings=embeddings, service=service, resamples=100)


def test_the_whole_service_and_each_route_left_out_for_its_worth(
    bundle_path: Path, other_path: Path, shop_path: Path, embeddings: Path
) -> None:
    with serving(make_settings(bundle_path, embeddings.parent / "index")) as server:
        found = evaluated(bundle_path, shop_path, embeddings, server.url, worth=True)
        with pytest.raises(ServiceError, match="serves the bundle"):
            evaluated(other_path, shop_path, None, server.url)
    with pytest.raises(ServiceError, match="no answer"):
        evaluated(bundle_path, shop_path, embeddings, server.url)
    by_name = {answers.system: answers for answers in found.answers}
    whole, no_i2i = by_name["service"], by_name["service without i2i"]
    assert {"service without q2i", "service without popular"} <= set(by_name)
    # Without I2I the first answers are those of Q2I alone, which the bundle's own row has. Index and
    # retriever keep vectors in half and in full precision: near ties change places.
    asked = found.masks["text"]
    assert (no_i2i.top[asked, :10] == found.answers[0].top[asked, :10]).mean() > 0.95
    # A request for which the route found nothing is not asked again: its answers are those of the whole.
    browsed = found.masks["browse"]
    assert (by_name["service without popular"].top[~browsed] == whole.top[~browsed]).all()
    assert (by_name["service without popular"].top[browsed] != whole.top[browsed]).any()
    assert any(row.system == "service" and row.slice == "all" for row in found.rows)
    pairs = {(c.system, c.against) for c in found.comparisons}
    assert {("service", "popularity"), ("service", "bm25"), ("service", "service without i2i")} <= pairs
    assert (found.systems[0], "service without i2i") not in pairs
    assert (found.systems[0], "service") in pairs
    told = {(c["system"], c["against"]) for c in found.as_dict()["comparisons"]}
    assert told == pairs


def test_requests_of_one_kind_alone(bundle_path: Path, shop_path: Path, embeddings: Path) -> None:
    with open_subject(bundle_path, shop_path, "val", embeddings=embeddings, kinds=["browse"]) as subject:
        assert {request.kind for request in subject.held_out.requests} == {"browse"}
    with (
        pytest.raises(NothingHeldOut),
        open_subject(bundle_path, shop_path, "val", embeddings=embeddings, kinds=[]),
    ):
        pass


def test_a_refusal_is_told(bundle_path: Path, shop_path: Path, embeddings: Path) -> None:
    settings = make_settings(bundle_path, embeddings.parent / "index", limits={"max_k": 10})
    with serving(settings) as server, pytest.raises(ServiceError, match="422"):
        evaluated(bundle_path, shop_path, embeddings, server.url)


@contextmanager
def answering(answers: list[tuple[int, dict[str, Any]]]) -> Iterator[str]:
    """A peer that gives these answers, one after another, and the last one again and again."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = answers.pop(0) if len(answers) > 1 else answers[0]
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as peer:
        thread = threading.Thread(target=peer.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{peer.server_port}"
        peer.shutdown()
        thread.join()


def test_what_a_busy_service_refuses_or_makes_less_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_PAUSE_S", 0.0)
    items, routes = [{"item_id": "i1"}], {"q2i": {"returned": 1}, "i2i": {"returned": 0}}
    whole = {"model_version": "v", "items": items, "routes": routes, "degraded": ["popular_instead"]}
    answers = [
        (503, {"detail": "it would wait too long"}),
        (200, whole | {"degraded": ["no_i2i"]}),
        (200, whole | {"items": [], "degraded": ["picture_skipped"]}),
        (200, whole | {"items": [], "degraded": ["p2i_error"]}),
        (200, whole),
    ]
    with answering(answers) as url, httpx.Client(base_url=url) as client:
        assert asking._ask(client, {}, "v") == (["i1"], ["q2i"])
    for always, told in (
        ((503, {"detail": "it would wait too long"}), "503 it would wait too long"),
        ((200, whole | {"degraded": ["fewer_candidates", "popular_instead"]}), "answers: fewer_candidates$"),
    ):
        with (
            answering([always]) as url,
            httpx.Client(base_url=url) as client,
            pytest.raises(ServiceError, match=told),
        ):
            asking._ask(client, {}, "v")
