"""The whole service asked for the held-out requests, and what is refused."""

from pathlib import Path

import pytest

from artifacts.bundle import Bundle
from artifacts.shop.shop import Shop
from index.embedded.build import build_index
from models.embed import embed_shop
from models.evaluation import evaluate
from models.evaluation.evaluate import Evaluation, Service
from models.evaluation.service import ServiceError
from tests.support.serving import make_settings, serving


@pytest.fixture(scope="module")
def embeddings(bundle_path: Path, shop_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("service")
    embed_shop(Shop.open(shop_path), Bundle.load(bundle_path), folder / "embeddings")
    build_index(folder / "embeddings", folder / "index")
    return folder / "embeddings"


def evaluated(bundle: Path, shop: Path, embeddings: Path | None, url: str) -> Evaluation:
    service = Service(url)
    return evaluate(bundle, shop, split="val", embeddings=embeddings, service=service, resamples=100)


def test_q2i_alone_of_a_service_is_the_bundles_own(
    bundle_path: Path, other_path: Path, shop_path: Path, embeddings: Path
) -> None:
    recall = {"q2i": {"share": 1.0}, "i2i": {"enabled": False, "share": 0.0}}
    with serving(make_settings(bundle_path, embeddings.parent / "index", recall=recall)) as server:
        found = evaluated(bundle_path, shop_path, embeddings, server.url)
        with pytest.raises(ServiceError, match="serves the bundle"):
            evaluated(other_path, shop_path, None, server.url)
    ours, service = found.answers[0], next(a for a in found.answers if a.system == "service")
    # Index and retriever keep vectors in half and in full precision: near ties change places.
    assert (ours.top[:, :10] == service.top[:, :10]).mean() > 0.95
    assert any(row.system == "service" and row.slice == "all" for row in found.rows)
    assert any(gap.against == "service" for gap in found.comparisons)
    with pytest.raises(ServiceError, match="no answer"):
        evaluated(bundle_path, shop_path, embeddings, server.url)


def test_a_refusal_is_told(bundle_path: Path, shop_path: Path, embeddings: Path) -> None:
    settings = make_settings(bundle_path, embeddings.parent / "index", limits={"max_k": 10})
    with serving(settings) as server, pytest.raises(ServiceError, match="422"):
        evaluated(bundle_path, shop_path, embeddings, server.url)
