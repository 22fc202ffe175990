"""The systems on ESCI, each as a function that gives scores ``[q, N]`` of queries and all products."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from artifacts.bundle import Bundle, ItemText, TextBatch, TextFeatures
from artifacts.shop.importers.sources import made_up_time
from artifacts.shop.schema import Event
from artifacts.shop.shop import Shop
from benchmarks.esci_data import Esci
from common.arrays import F16, F32, I64
from models.embed import embed_shop
from models.evaluation.bm25 import Bm25
from models.evaluation.heldout import Request
from models.evaluation.retriever import Retriever
from models.export.bundle import export
from models.towers import Towers, preset
from models.towers.experts.light_bert import LightBert
from models.training import Finished, load_finished
from models.training.pretrained.bert import bert_sizes, bert_tokenizer, fill_bert

_ROWS = 64


def bm25_scores(data: Esci) -> F32:
    """bm25s with method lucene, k1 1.2, b 0.75 and Snowball stems."""
    return Bm25(data.titles).scores(data.queries)


def minilm_scores(data: Esci, folder: Path, layers: int) -> F32:
    """Cosines of the mean-pooled outputs of the folder's first layers, as Light-Bert holds them."""
    # Longer than any text of the set: MiniLM reads up to 256 tokens.
    long = {"text.max_query_tokens": 128, "text.max_item_tokens": 128, "experts.layers": layers}
    config = preset("demo").with_overrides(long)
    sizes = bert_sizes(folder, config)
    experts = config.experts.model_copy(update=sizes)
    tokenizer = bert_tokenizer(folder)
    bert = LightBert(experts, tokenizer.get_vocab_size(), 128, experts.hidden).eval()
    fill_bert(folder, [bert])
    text = TextFeatures(tokenizer, config.text)

    def encode(batch: TextBatch) -> torch.Tensor:
        result = torch.zeros(len(batch.input_ids), experts.hidden)
        lengths = (batch.input_ids > 0).sum(axis=1)
        order = np.argsort(lengths, kind="stable")
        for start in range(0, len(order), _ROWS):
            rows = order[start : start + _ROWS]
            with torch.no_grad():
                result[rows] = bert(torch.from_numpy(batch.input_ids[rows, : lengths[rows].max()]))
        return result

    queries = encode(text.queries(data.queries))
    products = encode(text.items([ItemText(title) for title in data.titles]))
    scores: F32 = (queries @ products.T).numpy()
    return scores


def run_scores(run: Path, data: Esci, queries: I64) -> F32:
    """A finished run's own towers, with the item features that its second stage used."""
    finished = load_finished(run)
    texts = [data.queries[query] for query in queries]
    return fused(finished.towers, query_experts(finished, texts), item_features(run))


def item_features(run: Path) -> F16:
    """What a finished run's experts say of all products ``[N, E, d]``."""
    features: F16 = np.load(run / "item_features.npy", mmap_mode="r")[0]
    return features


def query_experts(finished: Finished, queries: list[str]) -> torch.Tensor:
    """What a finished run's experts say of queries ``[q, E, d]``."""
    config = finished.config
    text = TextFeatures(finished.tokenizer, config.text).queries(queries)
    with torch.no_grad():
        experts: torch.Tensor = finished.towers.eval().query_experts(
            torch.from_numpy(text.input_ids),
            torch.from_numpy(text.ngram_ids),
            torch.zeros(len(queries), config.picture.feature_dim),
            torch.zeros(len(queries)),
        )
    return experts


def fused(towers: Towers, experts: torch.Tensor, features: F16) -> F32:
    """Cosines ``[q, N]`` by the fusions of both towers, of what the experts say; nobody has a history."""
    towers.eval()
    count = len(experts)
    with torch.no_grad():
        behaviour = torch.zeros(count, 1, dtype=torch.int64)
        nobody = [torch.zeros_like(experts)[:, None], behaviour, behaviour.to(torch.float32)]
        if "item" in towers.query_fusion.inputs:
            nobody.append(behaviour)
        asked = towers.query_fusion(experts, *nobody)[0]
        items = torch.from_numpy(features.astype(np.float32))
        known = [torch.zeros(len(items), 1)] if "statistics" in towers.item_fusion.inputs else []
        products = towers.item_fusion(items, torch.zeros_like(items), *known)
        scores: F32 = (asked @ products.T).numpy()
    return scores


def bundle_scores(run: Path, shop: Path, folder: Path, data: Esci, queries: I64) -> F32:
    """The run's bundle, as it is served: exported graphs, embedded catalogue."""
    bundle = Bundle.load(export(run, folder, "esci"))
    opened = Shop.open(shop)
    embed_shop(opened, bundle, folder / "embeddings", threads=1)
    retriever = Retriever(bundle, opened, folder / "embeddings", threads=1)
    assert retriever.ids == data.products
    events = [Event(made_up_time(0), data.products[0], "click", data.queries[q]) for q in queries]
    embedded = retriever.embed([Request("text", event, ()) for event in events])
    scores: F32 = embedded @ retriever.items.T
    return scores
