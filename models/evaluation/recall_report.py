"""Measures a bundle on held-out events by kind of query, through the very graphs that serving runs."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from artifacts.bundle import Bundle
from artifacts.bundle.manifest import Precision
from artifacts.bundle.text import normalise
from artifacts.shop.shop import Shop
from models.embed import embed_shop
from models.evaluation.bm25 import Bm25
from models.evaluation.heldout import KINDS, Request, nothing_held_out, read_requests
from models.evaluation.metrics import mean_reciprocal_rank, ranks_of, recall_at, relevance_at
from models.evaluation.searcher import Searcher

Progress = Callable[[str, int, int | None], None]
Int64 = npt.NDArray[np.int64]
#: ``(query, item ids, picture) -> relevance [n]``, as `models.synthetic.Judge.relevances`.
Relevance = Callable[[str, Sequence[str], str | None], npt.NDArray[np.floating]]

#: Least relevance that counts in Rele@K_p (*inferred*); the synthetic shop's judge gives as much only where
#: everything that was asked for matches.
RELEVANT = 0.5
_DEPTH = 100


@dataclass(frozen=True)
class Row:
    """One line of the report: a kind of query answered by one system."""

    kind: str
    system: str
    queries: int
    values: dict[str, float]


@dataclass(frozen=True)
class Report:
    """The figures; a value that a row does not have is NaN."""

    bundle: str
    split: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``; NaN becomes null."""
        rows = [
            {
                "kind": row.kind,
                "system": row.system,
                "queries": row.queries,
                **{name: None if value != value else value for name, value in row.values.items()},
            }
            for row in self.rows
        ]
        return {"bundle": self.bundle, "split": self.split, "rows": rows}

    def table(self) -> str:
        """The figures as plain text."""
        head = f"{'kind':<12} {'system':<18} {'n':>7} " + " ".join(f"{c:>11}" for c in self.columns)
        lines = [
            f"{row.kind:<12} {row.system:<18} {row.queries:>7} "
            + " ".join(f"{row.values[c]:>11.3f}" for c in self.columns)
            for row in self.rows
        ]
        return "\n".join([head, *lines])


def evaluate(
    bundle_path: Path,
    shop_path: Path,
    *,
    split: str = "val",
    embeddings: Path | None = None,
    relevance: Relevance | None = None,
    precision: Precision = "fp32",
    progress: Progress = lambda stage, done, total: None,
) -> Report:
    """Recall of held-out clicked items by kind of query, beside BM25 for text.

    Columns: ``Recall@K`` and ``MRR`` over held-out (request, item) pairs; ``Hit@1``, whether the first
    answer is among all the items that the split has for the same query; ``Rele@10_p`` and ``Rele@10_p_w``
    over distinct queries, where a judge is at hand (NaN elsewhere). A synthetic shop brings its judge.

    Args:
        bundle_path: the bundle.
        shop_path: the shop.
        split: ``val`` or ``test``.
        embeddings: the shop's embeddings folder of this bundle; made for the occasion when not given.
        relevance: the judge.
        precision: of the query experts.
        progress: called with the stage, done and total.

    Raises:
        BundleError, DataError: bundle or shop cannot be read.
        NothingHeldOut: there is no held-out request to measure on.
        ValueError: the embeddings are of another bundle.
    """
    bundle, shop = Bundle.load(bundle_path), Shop.open(shop_path)
    if relevance is None and (shop_path / "truth.parquet").is_file():
        from models.synthetic import Judge

        relevance = Judge.open(shop_path).relevances
    training = bundle.manifest.training
    requests = read_requests(
        shop,
        split,
        depth=bundle.manifest.dimensions.history,
        held_out=float(training["held_out"]),
        same_item_days=float(training["data"]["same_item_days"]),
    )
    with tempfile.TemporaryDirectory() as temporary:
        if embeddings is None:
            embeddings = Path(temporary) / "embeddings"
            embed_shop(shop, bundle, embeddings, progress=progress)
        searcher = Searcher(bundle, shop, embeddings, precision=precision)
        requests = [r for r in requests if r.event.item in searcher.rows]
        if not requests:
            raise nothing_held_out(shop, split)
        report = _Reporter(searcher, relevance, requests)
        rows: list[Row] = []
        for done, kind in enumerate(KINDS):
            progress("evaluate", done, len(KINDS))
            rows += report.rows(kind)
        rows += report.bm25(shop)
        progress("evaluate", len(KINDS), len(KINDS))
    columns = tuple(rows[0].values) if rows else ()
    return Report(bundle.version, split, columns, tuple(sorted(rows, key=_place)))


def _place(row: Row) -> int:
    return [*KINDS].index(row.kind)  # type: ignore[arg-type]


class _Reporter:
    def __init__(self, searcher: Searcher, relevance: Relevance | None, requests: list[Request]) -> None:
        self._searcher, self._relevance, self._requests = searcher, relevance, requests

    def rows(self, kind: str) -> list[Row]:
        """Lines of the towers, with histories and, where that makes a difference, without."""
        asked = self._of(kind)
        if not asked:
            return []
        top = self._searcher.top(self._searcher.embed(asked), _DEPTH)
        rows = [self._row(kind, "mrse", asked, top)]
        if kind != "browse" and any(r.history for r in asked):
            top = self._searcher.top(self._searcher.embed(asked, history=False), _DEPTH)
            rows.append(self._row(kind, "mrse, no history", asked, top))
        return rows

    def bm25(self, shop: Shop) -> list[Row]:
        """The line of BM25, for text queries."""
        asked = self._of("text")
        if not asked:
            return []
        index = Bm25(f"{i.title} {i.category} {i.description}" for i in shop.items())
        distinct = sorted({r.event.query for r in asked})
        top = dict(zip(distinct, index.top(distinct, _DEPTH), strict=True))
        return [self._row("text", "bm25", asked, np.stack([top[r.event.query] for r in asked]))]

    def _of(self, kind: str) -> list[Request]:
        return [r for r in self._requests if r.kind == kind]

    def _row(self, kind: str, system: str, asked: list[Request], top: Int64) -> Row:
        wanted = np.array([self._searcher.rows[r.event.item] for r in asked])
        ranks = ranks_of(top, wanted)
        values = {f"Recall@{k}": recall_at(ranks, k) for k in (1, 10, 100)}
        values["Hit@1"] = self._hits(asked, top, wanted)
        values["MRR"] = mean_reciprocal_rank(ranks)
        values["Rele@10_p"], values["Rele@10_p_w"] = self._relevant(kind, asked, top)
        return Row(kind, system, len(asked), values)

    def _hits(self, asked: list[Request], top: Int64, wanted: Int64) -> float:
        """Whether the first answer is among all items clicked for the same query or photo in the split."""
        # Browsing asks for nothing, so requests of one user belong together.
        keys = [
            (normalise(r.event.query), r.event.picture, r.event.user if r.kind == "browse" else None)
            for r in asked
        ]
        right = set(zip(keys, wanted.tolist(), strict=True))
        first = {key: (key, int(row)) in right for key, row in zip(keys, top[:, 0], strict=True)}
        return sum(first.values()) / len(first)

    def _relevant(self, kind: str, asked: list[Request], top: Int64) -> tuple[float, float]:
        if self._relevance is None or kind == "browse":
            return float("nan"), float("nan")
        grades: list[npt.NDArray[np.floating]] = []
        counts = Counter((normalise(r.event.query), r.event.picture) for r in asked)
        weights, done = [], set()
        for request, rows in zip(asked, top[:, :10], strict=True):
            key = (normalise(request.event.query), request.event.picture)
            if key in done:
                continue
            done.add(key)
            found = [self._searcher.ids[row] for row in rows if row >= 0]
            grade = np.full(top[:, :10].shape[1], np.nan)
            grade[: len(found)] = self._relevance(request.event.query, found, request.event.picture)
            grades.append(grade)
            weights.append(counts[key])
        table = np.stack(grades)
        return relevance_at(table, RELEVANT), relevance_at(table, RELEVANT, np.array(weights, dtype=float))
