"""A bundle opened over a shop, to be measured on its held-out requests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artifacts.bundle import Bundle
from artifacts.bundle.manifest import Precision
from artifacts.shop.shop import Shop
from common.arrays import Bool
from common.progress import Progress, silent
from models.embed import embed_shop
from models.evaluation.answers import DEPTH, Answers
from models.evaluation.grades import open_grades
from models.evaluation.heldout import HeldOut, nothing_held_out, read_requests
from models.evaluation.searcher import Searcher
from models.evaluation.slices import slice_requests


@dataclass(frozen=True)
class Subject:
    """A bundle, the shop, the retriever over its embeddings, and the held-out requests."""

    bundle: Bundle
    shop: Shop
    searcher: Searcher
    held_out: HeldOut

    def slices(self) -> dict[str, Bool]:
        """Masks of the requests by slice, see `slice_requests`."""
        return slice_requests(self.shop, self.held_out, self.bundle.manifest.preprocessing.held_out)

    def answers(self) -> Answers:
        """What the bundle answers to every request."""
        return answer(self.bundle.version, self.searcher, self.held_out)

    def answers_without_history(self) -> Answers | None:
        """The same without the users' histories; None where no request has one.

        Browsing is left out: without a history it asks for nothing.
        """
        if not any(request.history for request in self.held_out.requests):
            return None
        return answer("without history", self.searcher, self.held_out, history=False)


def answer(system: str, searcher: Searcher, held_out: HeldOut, *, history: bool = True) -> Answers:
    """What the bundle behind a retriever answers."""
    top = searcher.top(searcher.embed(held_out.requests, history=history), DEPTH)
    answered = np.array([history or r.kind != "browse" for r in held_out.requests], dtype=np.bool_)
    return Answers(system, held_out, top, answered)


@contextmanager
def open_subject(
    bundle_path: Path,
    shop_path: Path,
    split: str,
    *,
    embeddings: Path | None = None,
    sample: int | None = None,
    precision: Precision = "fp32",
    progress: Progress = silent,
) -> Iterator[Subject]:
    """Open bundle and shop, and read the held-out requests as training would.

    Args:
        bundle_path: the bundle.
        shop_path: the shop.
        split: ``val`` or ``test``.
        embeddings: the shop's embeddings folder of this bundle; made for the occasion where left out.
        sample: at most so many requests, drawn evenly.
        precision: of the query experts.
        progress: called with the stage, done and total.

    Raises:
        BundleError, DataError: bundle or shop cannot be read.
        NothingHeldOut: there is no held-out request to measure on.
    """
    shop, bundle = Shop.open(shop_path), Bundle.load(bundle_path)
    preprocessing = bundle.manifest.preprocessing
    requests = read_requests(
        shop,
        split,
        depth=bundle.manifest.dimensions.history,
        held_out=preprocessing.held_out,
        same_item_days=preprocessing.same_item_days,
    )
    if sample is not None:
        requests = [requests[place] for place in spread(len(requests), sample)]
    with open_searcher(bundle, shop, embeddings, precision=precision, progress=progress) as searcher:
        held_out = HeldOut.number(requests, searcher.rows, open_grades(shop, searcher.rows))
        if not held_out.requests:
            raise nothing_held_out(shop, split)
        yield Subject(bundle, shop, searcher, held_out)


@contextmanager
def open_searcher(
    bundle: Bundle,
    shop: Shop,
    embeddings: Path | None = None,
    *,
    precision: Precision = "fp32",
    progress: Progress = silent,
) -> Iterator[Searcher]:
    """The retriever over an embeddings folder, made for the occasion where none is given."""
    with tempfile.TemporaryDirectory() as temporary:
        if embeddings is None:
            embeddings = Path(temporary) / "embeddings"
            embed_shop(shop, bundle, embeddings, progress=progress)
        yield Searcher(bundle, shop, embeddings, precision=precision)


def spread(count: int, most: int) -> list[int]:
    """At most so many places of ``count``, evenly spread."""
    places: list[int] = np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64)).tolist()
    return places
