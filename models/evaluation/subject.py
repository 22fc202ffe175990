"""A bundle opened over a shop, to be measured on its held-out requests."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from artifacts.bundle import Bundle
from artifacts.shop.shop import Shop
from common.arrays import F32, I64, Bool
from common.progress import Progress, silent
from models.dataset.coclick import CoClicks, coclicked_as_trained
from models.embed import embed_shop
from models.evaluation.answers import DEPTH, Answers, find_ranks
from models.evaluation.grades import open_grades
from models.evaluation.heldout import HeldOut, NothingHeldOut, Request, read_requests
from models.evaluation.low_labels import LowLabels
from models.evaluation.retriever import Retriever
from models.evaluation.slices import slice_requests
from models.evaluation.statistics import Sums, by_request
from models.evaluation.teacher_grades import TeacherGrades

#: Labels up to this are of low relevance where a bundle does not say.
LOW = 0.45


@dataclass(frozen=True)
class Subject:
    """What is evaluated or diagnosed.

    ``retriever`` answers requests with the bundle; ``run`` is the bundle's training run, where it is given.
    """

    bundle: Bundle
    shop: Shop
    retriever: Retriever
    held_out: HeldOut
    run: Path | None = None

    @cached_property
    def coclicks(self) -> CoClicks:
        """The items that were clicked together in the train split."""
        return coclicked_as_trained(self.shop, self.bundle.manifest.preprocessing)

    def slices(self) -> dict[str, Bool]:
        """Masks of the requests by slice, see `slice_requests`."""
        return slice_requests(self.shop, self.held_out, self.bundle.manifest.preprocessing.held_out)

    def answers(self) -> Answers:
        """What the bundle answers to every request."""
        return answer(self.bundle.version, self.retriever, self.held_out)

    def recall(self, queries: F32, k: int, places: I64 | None = None, items: F32 | None = None) -> Sums:
        """Recall@K of query embeddings ``[n, e]`` of the requests at ``places`` int64 ``[n]``, or of all.

        ``items`` ``[N, e]`` stand in for the catalogue's own embeddings.
        """
        places = np.arange(len(self.held_out.requests)) if places is None else places
        ranks = find_ranks(self.retriever.top(queries, k, items), self.held_out.wanted[places])
        return by_request((ranks > 0).astype(np.float64), self.held_out.query[places], self.held_out.queries)

    def contrast(self, queries: F32, items: F32 | None = None) -> float:
        """How much nearer queries ``[n, e]`` are to what was clicked than to the mean of the catalogue.

        ``items`` as for `recall`.
        """
        items = self.retriever.items if items is None else items
        clicked = np.einsum("ne,ne->n", queries, items[self.held_out.wanted])
        return float((clicked - queries @ items.mean(axis=0)).mean())

    def sample(self, most: int) -> tuple[I64, list[Request]]:
        """Places of at most so many requests, evenly spread, and the requests."""
        places = spread(len(self.held_out.requests), most)
        return places, [self.held_out.requests[place] for place in places.tolist()]


def answer(system: str, retriever: Retriever, held_out: HeldOut, *, history: bool = True) -> Answers:
    """What a retriever answers; without a history browsing asks for nothing, and is not answered.

    With one it is answered by the user's interests, where the bundle gives any.
    """
    queries = retriever.embed(held_out.requests, history=history)
    top = retriever.top(queries, DEPTH)
    browses = np.array([r.kind == "browse" for r in held_out.requests], dtype=np.bool_)
    if history and browses.any() and retriever.tower.has_interests:
        top[browses] = retriever.browse([r for r in held_out.requests if r.kind == "browse"], DEPTH)
    answered = np.ones_like(browses) if history else ~browses
    return Answers(
        system, held_out, top, answered, lambda place, rows: retriever.items[rows] @ queries[place]
    )


@contextmanager
def open_subject(
    bundle_path: Path,
    shop_path: Path,
    split: str,
    *,
    embeddings: Path | None = None,
    sample: int | None = None,
    kinds: Collection[str] | None = None,
    run: Path | None = None,
    teacher: Path | None = None,
    progress: Progress = silent,
) -> Iterator[Subject]:
    """Open bundle and shop, and read the held-out requests as training would.

    Args:
        bundle_path, shop_path: their folders.
        split: ``val`` or ``test``.
        embeddings: the shop's embeddings folder of this bundle; made for the occasion where left out.
        sample: at most so many requests, drawn evenly.
        kinds: of requests, of `heldout.KINDS`; all where left out.
        run: the training run of the bundle.
        teacher: a training run whose teacher grades, in the place of judge and labels.
        progress: called with the stage, done and total.

    Raises:
        BundleError, DataError, EmbeddingsError: bundle, shop or embeddings cannot be read.
        NothingHeldOut: there is no held-out request to measure on.
        TeacherError: there is no such teacher.
    """
    shop, bundle = Shop.open(shop_path), Bundle.load(bundle_path)
    as_trained, depth = bundle.manifest.preprocessing, bundle.manifest.dimensions.history
    requests = read_requests(
        shop,
        split,
        depth=depth,
        held_out=as_trained.held_out,
        same_item_days=as_trained.same_item_days,
        same_search_minutes=as_trained.same_search_minutes,
        one_slot=as_trained.one_slot,
    )
    if kinds is not None:
        requests = [request for request in requests if request.kind in kinds]
        if not requests:
            raise NothingHeldOut(shop, split)
    if sample is not None:
        requests = [requests[place] for place in spread(len(requests), sample).tolist()]
    with open_retriever(bundle, shop, embeddings, progress=progress) as retriever:
        share, low = as_trained.held_out, bundle.manifest.training.get("loss", {}).get("low_relevance", LOW)
        grades = (
            open_grades(shop, retriever.rows, split, share)
            if teacher is None
            else TeacherGrades.open(teacher, shop, retriever.rows)
        )
        held_out = HeldOut.number(
            requests,
            retriever.rows,
            grades,
            LowLabels.read(shop, retriever.rows, split, share, float(low)),
        )
        if not held_out.requests:
            raise NothingHeldOut(shop, split)
        yield Subject(bundle, shop, retriever, held_out, run)


@contextmanager
def open_retriever(
    bundle: Bundle, shop: Shop, embeddings: Path | None = None, *, progress: Progress = silent
) -> Iterator[Retriever]:
    """The retriever over an embeddings folder, made for the occasion where none is given."""
    with tempfile.TemporaryDirectory() as temporary:
        if embeddings is None:
            embeddings = Path(temporary) / "embeddings"
            embed_shop(shop, bundle, embeddings, progress=progress)
        yield Retriever(bundle, shop, embeddings)


def spread(count: int, most: int) -> I64:
    """At most so many places of ``count``, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))
