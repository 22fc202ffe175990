"""What every probe of `diagnose` looks at, and what several of them ask of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.bundle import Bundle
from common.arrays import F16, F32, I64
from models.dataset.coclick import CoClicks
from models.evaluation.answers import ranks_of
from models.evaluation.heldout import HeldOut, Request
from models.evaluation.searcher import Searcher
from models.evaluation.statistics import Sums, by_request
from models.evaluation.subject import Subject, spread

#: Depth of the recall that probes compare, and bootstrap replicates of a difference of it.
DEPTH, RESAMPLES = 100, 500


@dataclass(frozen=True)
class Patient:
    """A bundle under diagnosis.

    Attributes:
        subject: bundle, shop, retriever and held-out requests.
        features: float16 ``[N, experts, d]`` of the items.
        coclicks: items that were clicked together.
        run: the training run, where it is given.
    """

    subject: Subject
    features: F16
    coclicks: CoClicks
    run: Path | None

    @property
    def bundle(self) -> Bundle:
        """The bundle."""
        return self.subject.bundle

    @property
    def searcher(self) -> Searcher:
        """Answers requests with the bundle."""
        return self.subject.searcher

    @property
    def held_out(self) -> HeldOut:
        """The held-out requests."""
        return self.subject.held_out

    @property
    def training(self) -> dict[str, Any]:
        """The configuration that the bundle was trained with."""
        return self.bundle.manifest.training

    def sample(self, most: int) -> tuple[I64, list[Request]]:
        """Places of at most so many requests, evenly spread, and the requests."""
        places = spread(len(self.held_out.requests), most)
        return np.array(places, dtype=np.int64), [self.held_out.requests[place] for place in places]

    def recall(self, queries: F32, places: I64 | None = None, items: F32 | None = None) -> Sums:
        """Recall@`DEPTH` of query embeddings ``[n, e]``.

        Args:
            queries: of the requests at ``places``; of all where that is left out.
            places: int64 ``[n]``.
            items: ``[N, e]``, in place of the catalogue's own embeddings.
        """
        held_out = self.held_out
        places = np.arange(len(held_out.requests)) if places is None else places
        ranks = ranks_of(self.searcher.top(queries, DEPTH, items), held_out.wanted[places])
        return by_request((ranks > 0).astype(np.float64), held_out.query[places], held_out.queries)
