"""What towers in training find for the held-out searches of a shop, and how good that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from artifacts.bundle.portrait import build_portraits
from artifacts.bundle.text import normalise
from artifacts.shop.shop import Shop
from benchmarks.sparse_log import Pairs, embedded
from common.arrays import F16, F32, F64, I64
from models.dataset.training_data import TrainingData
from models.evaluation.answers import Answers
from models.evaluation.grades import JudgeGrades
from models.evaluation.heldout import HeldOut, read_requests
from models.evaluation.low_labels import LowLabels
from models.evaluation.measures import MEASURES
from models.evaluation.statistics import Sums, by_query, by_request
from models.evaluation.subject import spread
from models.synthetic import RELEVANT
from models.synthetic.attributes import CATEGORY
from models.synthetic.catalogue import item_id
from models.synthetic.truth import read_items
from models.towers import Towers

#: What is told, the first two being what is claimed.
TOLD = ("AUC low", "R-prec@10", "nDCG@10", "Recall@10", "Recall@100", "MRR")
#: The measure of a look, and how deep a list is read.
LOOKED, _K, _DEPTH, _CHUNK = "R-prec@10", 10, 100, 4096
_ROWS = 128


@dataclass(frozen=True)
class Searches:
    """Held-out searches by words, and all that does not change while a fusion trains.

    ``experts`` float32 ``[n, M, d]``; ``portraits``: features ``[n, K, M, d]``, actions and ages ``[n, K]``;
    ``right``: rows of the items that answer each distinct query.
    """

    held_out: HeldOut
    experts: torch.Tensor
    portraits: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    right: tuple[I64, ...]

    def found(self, towers: Towers, features: F16, coclick: F16, depth: int = _DEPTH) -> tuple[F32, F32, I64]:
        """Embeddings of the searches and of all items, and the first items of each search."""
        towers.eval()
        with torch.no_grad():
            parts = (slice(start, start + _CHUNK) for start in range(0, len(coclick), _CHUNK))
            items = torch.cat([towers.item_fusion(_floats(features[p]), _floats(coclick[p])) for p in parts])
            rows = (slice(start, start + _ROWS) for start in range(0, len(self.experts), _ROWS))
            asked = [
                towers.query_fusion(self.experts[p], *(each[p] for each in self.portraits))[0] for p in rows
            ]
            queries = torch.cat(asked)
            width = min(depth, len(items))
            top = [
                (queries[start : start + _ROWS] @ items.T).topk(width, dim=1).indices
                for start in range(0, len(queries), _ROWS)
            ]
        return queries.numpy(), items.numpy(), torch.cat(top).numpy()

    def look(self, towers: Towers, features: F16, coclick: F16) -> float:
        """`LOOKED` of the weights of the moment."""
        return self.precision(self.found(towers, features, coclick, _K)[2]).value

    def precision(self, top: I64) -> Sums:
        """R-precision@10 as `models.evaluation.measures` has it, without the grades of whole catalogues."""
        asked = self.held_out.query
        values = [
            np.isin(top[place, :_K], self.right[query]).sum() / min(_K, len(self.right[query]))
            if len(self.right[query])
            else np.nan
            for place, query in enumerate(asked.tolist())
        ]
        return by_query(np.array(values), asked, self.held_out.queries)

    def measure(self, towers: Towers, features: F16, coclick: F16) -> dict[str, Sums]:
        """All of `TOLD`, by query."""
        queries, items, top = self.found(towers, features, coclick)
        answered = np.ones(len(top), dtype=np.bool_)
        answers = Answers("", self.held_out, top, answered, lambda n, rows: items[rows] @ queries[n])
        asked, count = self.held_out.query, self.held_out.queries
        found = {}
        for name in TOLD:
            values: F64 = MEASURES[name].values(answers)
            found[name] = (by_request if MEASURES[name].unit == "request" else by_query)(values, asked, count)
        return found


@dataclass(frozen=True)
class HeldOutSearches:
    """Held-out searches; ``right`` as `Searches` has it, ``rows`` of the items by id."""

    held_out: HeldOut
    right: tuple[I64, ...]
    rows: Mapping[str, int]

    def by(self, data: TrainingData, towers: Towers, features: F16) -> Searches:
        """As some experts see them, who gave the items' ``features`` ``[N, M, d]``."""
        requests = self.held_out.requests
        histories = [request.history for request in requests]
        portraits = build_portraits(
            histories,
            [features[[self.rows[done.item_id] for done in history]] for history in histories],
            [request.event.ts for request in requests],
            experts=features.shape[1],
            expert_dim=features.shape[2],
        )
        towers.eval()
        with torch.no_grad():
            experts = embedded(data, towers, [normalise(r.event.query) for r in requests])
        arrays = (portraits.features, portraits.behaviour, portraits.age_days)
        features_of, behaviour, age = map(torch.from_numpy, arrays)
        return Searches(self.held_out, experts, (features_of, behaviour, age), self.right)


def read_searches(
    shop: Shop,
    data: TrainingData,
    judge: JudgeGrades,
    split: str,
    low: Pairs,
    most: int,
) -> HeldOutSearches:
    """At most so many searches of a split; AUC is of the labels ``low``."""
    config = data.config
    requests = read_requests(
        shop,
        split,
        depth=config.dimensions.history,
        held_out=config.data.held_out,
        same_item_days=config.data.same_item_days,
        same_search_minutes=config.data.same_search_minutes,
        one_slot=config.data.one_slot,
    )
    typed = [request for request in requests if request.kind == "text"]
    typed = [typed[place] for place in spread(len(typed), most).tolist()]
    rows = {item_id(row): row for row in range(data.items)}
    categories = read_items(shop.path).codes[CATEGORY].astype(np.int64)
    held_out = HeldOut.number(typed, rows, judge, LowLabels(_by_query(data, low), categories))
    right = []
    for places in held_out.by_query:
        grades = held_out.known_grades(int(places[0]))
        right.append(np.flatnonzero(grades >= RELEVANT) if grades is not None else np.zeros(0, np.int64))
    return HeldOutSearches(held_out, tuple(right), rows)


def _by_query(data: TrainingData, low: Pairs) -> Mapping[tuple[str, str | None], I64]:
    order = np.lexsort((low.item, low.query))
    asked, first = np.unique(low.query[order], return_index=True)
    parts = np.split(low.item[order], first[1:]) if len(asked) else []
    return {(data.queries[row], None): part for row, part in zip(asked.tolist(), parts, strict=True)}


def _floats(array: F16) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float32))
