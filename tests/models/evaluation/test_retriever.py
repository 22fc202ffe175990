from pathlib import Path

import numpy as np
import pytest

from artifacts.bundle import Bundle
from artifacts.embeddings import EmbeddingsError
from artifacts.shop.shop import Shop
from models.embed import embed_shop
from models.evaluation.heldout import read_requests
from models.evaluation.retriever import Retriever
from models.evaluation.subject import open_retriever


def test_requests_are_answered_exactly_and_in_any_precision_of_the_bundle(
    bundle_path: Path, shop_path: Path
) -> None:
    shop, bundle = Shop.open(shop_path), Bundle.load(bundle_path)
    requests = read_requests(shop, "test", depth=5, held_out=0.05, same_item_days=1.0)[:70]
    with open_retriever(bundle, shop) as retriever:
        queries = retriever.embed(requests)
        assert queries.shape == (70, retriever.items.shape[1])
        np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, atol=1e-3)
        scores = queries @ retriever.items.T
        top = retriever.top(queries, 10)
        np.testing.assert_allclose(
            np.take_along_axis(scores, top, axis=1), -np.sort(-scores, axis=1)[:, :10], rtol=1e-6
        )
        assert np.abs(queries - retriever.embed(requests, history=False)).max() > 1e-3
        np.testing.assert_array_equal(retriever.in_precision("fp32").embed(requests), queries)
        assert len(retriever.embed([])) == 0


def test_embeddings_of_another_bundle_are_refused(
    bundle_path: Path, other_path: Path, shop_path: Path, tmp_path: Path
) -> None:
    shop, bundle, other = Shop.open(shop_path), Bundle.load(bundle_path), Bundle.load(other_path)

    embed_shop(shop, other, tmp_path / "embeddings")
    with pytest.raises(EmbeddingsError, match=f"is of bundle {other.version}, not of {bundle.version}"):
        Retriever(bundle, shop, tmp_path / "embeddings")


def test_embeddings_that_hold_what_is_held_out_judge_nothing(
    bundle_path: Path, shop_path: Path, tmp_path: Path
) -> None:
    shop, bundle = Shop.open(shop_path), Bundle.load(bundle_path)
    embed_shop(shop, bundle, tmp_path / "embeddings", behaviours="all")
    with pytest.raises(EmbeddingsError, match="--behaviours train"):
        Retriever(bundle, shop, tmp_path / "embeddings")
    embed_shop(shop, bundle, tmp_path / "judged")
    served, judged = (np.load(tmp_path / name / "embeddings.npy") for name in ("embeddings", "judged"))
    assert np.abs(served.astype(np.float32) - judged.astype(np.float32)).max() > 1e-3
