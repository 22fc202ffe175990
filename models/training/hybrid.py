"""The step that stages 1 and 2 share: draw, encode, mask, MNSCE, hard negatives, HNST."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from common.arrays import F32, I64, Bool
from models.towers import Towers
from models.towers.training_config import StageConfig
from models.training import ranks
from models.training.ahead import Ahead
from models.training.answers import KnownAnswers
from models.training.batches import Batch, QueryBatch, Sampler
from models.training.dose import dose, pull
from models.training.doubt import judged_labels
from models.training.encode import run_experts, side_by_side, to_device
from models.training.features import PictureFeatures
from models.training.hard import HardNegatives
from models.training.loop import Losses, step_numbers
from models.training.losses import distil, hnst
from models.training.mining import Grader, Mined, mine
from models.training.precision import full
from models.training.refresh import Refresh
from models.training.rivals import RivalDraw
from models.training.run import Run


@dataclass(frozen=True)
class Drawn:
    """A step's batch, which of its columns ``[B, C]`` are no negatives, and the numbers that follow."""

    batch: Batch
    masked: Bool
    rng: np.random.Generator


class HybridStep(ABC):
    """Losses of a stage's steps. A stage says how it encodes, and what its easy loss is."""

    #: The stage's name, and whether examples with a history alone take part (stage 2).
    name: str
    browse = False

    def __init__(self, run: Run, towers: Towers, pictures: PictureFeatures, knobs: StageConfig) -> None:
        self.run, self.towers, self.pictures, self.knobs = run, towers, pictures, knobs
        self.data, self.config, self.device = run.data, run.config, run.device
        self.batch = knobs.batch * ranks.count()
        self.sampler = Sampler(run.data, pictures, knobs, browse=self.browse)
        self.hard, self.known = HardNegatives(run.data), KnownAnswers(run.data)
        self.grader: Grader | None = None
        loss = self.config.loss
        #: The step from which on HNST takes part; none where it is off.
        self.hard_from = round(loss.hard_after * knobs.steps) if loss.beta > 0 else knobs.steps
        self.mining = Refresh(run.folder, f"hard-{self.name}", knobs.refresh_every)
        self._judged = loss.labels_kept == 1.0
        self.ahead = Ahead(self.draw, knobs.steps, self.config.prefetch)
        seen = np.bincount(np.asarray(run.data.item), minlength=run.data.items)
        #: ``[N]``, share of each item of the positive events; their sum is 1.
        self.share = (seen / max(1, seen.sum())).astype(np.float32)

    def draw(self, step: int) -> Drawn:
        """What a step trains on; of its number alone, so that threads draw ahead."""
        rng, _, _ = step_numbers(self.config.seed, self.name, step)
        drawn = self.sampler.draw(self.batch, rng, ranks.share(self.batch))
        columns = drawn.columns
        masked = self.known.among(drawn.wanted, columns)
        masked |= drawn.items[:, None] == columns
        return Drawn(drawn, masked, rng)

    def losses(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> Losses:
        """Losses of one step, by name; the first is what is minimised."""
        loss = self.config.loss
        hard_now = step >= self.hard_from
        self.begin(step, hard_now=hard_now)
        ready = self.ahead.take(step)
        drawn, rng, columns = ready.batch, ready.rng, ready.batch.columns
        count = loss.hard_negatives if hard_now else 0
        hard = self.hard.draw(drawn.queries.query, drawn.queries.shown, count, rng)
        rivals = self.rivals(drawn, rng)
        wanted = [columns, hard.items.ravel(), rivals.items.ravel()]
        distinct, places = np.unique(np.concatenate(wanted), return_inverse=True)
        items, asked = self.items(distinct, drawn, rng), self.queries(drawn)
        scores = self.scores(asked, items)
        ends = np.cumsum([len(part) for part in wanted[:2]])
        at, of_hard, of_rivals = map(torch.from_numpy, np.split(places, ends))
        cosines = scores[..., at]
        own = self._own(cosines, torch.arange(self.batch)[:, None])
        chosen, seen_chosen = self.choose(
            own, self._own(scores, of_rivals.reshape(rivals.items.shape)), rivals
        )
        masked = self.tensor(ready.masked) | self._guided(drawn, distinct, at)
        if not count:
            easy, shown = self.easy(cosines, masked, drawn, rng)
            beside, seen_beside = self.beside(cosines, masked, drawn)
            beside, seen_beside = beside + chosen, seen_beside | seen_chosen
            none = torch.zeros((), device=easy.device)
            nothing = {"hnst": none, "beta": none, "hnst_share": none} | self._taught(none)
            return {"loss": loss.alpha * easy + beside, **shown, **seen_beside, **nothing}
        far = self._own(scores, of_hard.reshape(self.batch, count))
        present, grades = self.tensor(hard.present), self.tensor(hard.grades)
        beside, seen_beside = self.beside(cosines, masked, drawn)
        beside, seen_beside = beside + chosen, seen_beside | seen_chosen
        seen, pulled = cosines, [cosines]
        if loss.hard_columns:
            seen, masked, pulled = (
                torch.cat([cosines, far], -1),
                torch.cat([masked, ~present], -1),
                [cosines, far],
            )
        easy, shown = self.easy(seen, masked, drawn, rng)
        easy = loss.alpha * easy
        positive, far = self._compared(own, far, asked, drawn, hard.items, rng)
        triplets = hnst(positive, far, present, grades, margin=loss.margin)
        beta, share = dose(loss, pull(easy, pulled), pull(triplets, [positive, far]))
        gaps = self.config.teacher.span * (1 - grades)
        taught = distil(positive, far, gaps, self.tensor(hard.taught)) if loss.distil else easy.detach() * 0
        total = easy + beta * triplets + loss.distil * taught + beside
        found = {"hnst": triplets, "beta": beta, "hnst_share": share} | self._taught(taught)
        return {"loss": total, **shown, **seen_beside, **found}

    def _compared(
        self, own: Tensor, far: Tensor, asked: Tensor, drawn: Batch, hard: I64, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Cosines that HNST compares: of the positives ``[B]`` and of the hard negatives ``[B, H]``."""
        distinct, places = np.unique(np.concatenate([drawn.items, hard.ravel()]), return_inverse=True)
        items = self.untold(distinct, drawn, rng)
        if items is not None:
            scores, at = self.scores(asked, items), torch.from_numpy(places)
            own = self._own(scores, at[: self.batch, None])
            far = self._own(scores, at[self.batch :].reshape(hard.shape))
        return self.mean(own)[:, 0], self.mean(far)

    def _taught(self, loss: Tensor) -> Losses:
        """A column of the curves where the towers learn from a teacher."""
        return {"distil": loss} if self.config.loss.distil else {}

    def _guided(self, drawn: Batch, distinct: I64, at: Tensor) -> Tensor:
        """Bool ``[B, C]`` or ``[1]``: what a guide puts so near a row that it may well answer it."""
        guided = self.guide(drawn, distinct)
        if guided is None:
            return torch.zeros(1, dtype=torch.bool, device=self.device)
        least = guided[torch.arange(self.batch), at[: self.batch]] - self.config.loss.guide_margin
        # Of rows without words and picture a guide knows nothing.
        asks = drawn.queries.has_text | (drawn.queries.has_picture > 0)
        return (guided > least[:, None])[:, at] & self.tensor(asks)[:, None]

    def mine(self, step: int) -> None:
        """Mine hard negatives anew where it is time, with the weights of this step."""
        if not self.config.loss.mined:
            return
        path = self.mining.due(step, self.hard_from)
        if path is None:
            return

        def make(path: Path) -> None:
            self.towers.eval()
            with torch.no_grad(), full(self.device):
                queries, items = self.ranked()
            mine(self.data, queries, items, self.grader, self.device).save(path)
            self.towers.train()

        self.mining.made(path, self.run.folder / f"{self.name}.pt", make)
        self.hard.mined = Mined.read(path)

    def judge(self) -> None:
        """Leave out the labels that look like answers, by the experts as they are when HNST joins."""
        if self._judged:
            return
        path = self.run.folder / f"labels-{self.name}.npy"
        with ranks.leader_first(), torch.no_grad(), full(self.device):
            self.towers.eval()
            asked = self.experts_of
            kept = judged_labels(path, self.data, lambda texts: side_by_side(asked(texts)), self.known_items)
            self.towers.train()
        self.hard.keep(kept)
        self._judged = True

    def log_q(self, drawn: Batch, width: int) -> Tensor | None:
        """How often a step draws the item of each column, as a logarithm ``[width]``; None where it is off.

        A step draws B events, whose items come by their popularity, titles and M uniform items: the count
        of an item is what both kinds add up to, whichever column it stands in. Further columns are a row's
        own, always there, and 0.
        """
        return self.drawn_log(drawn, width) if self.config.loss.logq else None

    def drawn_log(self, drawn: Batch, width: int) -> Tensor:
        """See `log_q`."""
        columns = drawn.columns
        titles = int((drawn.wanted.events < 0).sum())
        events = len(drawn.items) - titles
        uniform = (titles + len(drawn.uniform)) / self.data.items
        found = self.tensor(np.log(events * self.share[columns] + uniform).astype(np.float32))
        return F.pad(found, (0, width - len(columns)))

    @abstractmethod
    def begin(self, step: int, *, hard_now: bool) -> None:
        """Get ready for a step; ``hard_now`` tells whether HNST takes part in it."""

    @abstractmethod
    def ranked(self) -> tuple[F32, F32]:
        """What is mined by: the first queries of words alone ``[Q, e]`` and all items ``[N, e]``."""

    @abstractmethod
    def items(self, rows: I64, drawn: Batch, rng: np.random.Generator) -> Tensor:
        """Encode items of all ranks, ``[N]`` distinct rows of the catalogue -> ``[N, …]``."""

    def untold(self, rows: I64, drawn: Batch, rng: np.random.Generator) -> Tensor | None:
        """Items without what tells that they were clicked, as `items` gives them; None where that stays."""
        return None

    @abstractmethod
    def queries(self, drawn: Batch) -> Tensor:
        """Encode the queries of all ranks -> ``[B, …]``."""

    @abstractmethod
    def scores(self, queries: Tensor, items: Tensor) -> Tensor:
        """Cosines ``[…, B, N]``; several of a pair where several outputs learn side by side."""

    @abstractmethod
    def easy(
        self, cosines: Tensor, masked: Tensor, drawn: Batch, rng: np.random.Generator
    ) -> tuple[Tensor, Losses]:
        """The loss over easy negatives, and what the curves show of it.

        ``cosines`` ``[…, B, C]`` are those to the positive items, the uniform ones, and a row's own hard
        ones with ``loss.hard_columns``; ``masked`` ``[B, C]`` is True where a column is no negative.
        """

    def beside(self, cosines: Tensor, masked: Tensor, drawn: Batch) -> tuple[Tensor, Losses]:
        """What a stage learns beside the hybrid loss, with its weight, and what the curves show of it.

        HNST's dose does not count it. The arguments are those of `easy`, without a row's own columns.
        """
        return torch.zeros((), device=cosines.device), {}

    def rivals(self, drawn: Batch, rng: np.random.Generator) -> RivalDraw:
        """What each row's history is to choose among, see `choose`."""
        return RivalDraw.none(len(drawn.items))

    def choose(self, own: Tensor, far: Tensor, rivals: RivalDraw) -> tuple[Tensor, Losses]:
        """What a stage learns of rivals, with its weight, as `beside`.

        ``own`` ``[…, B, 1]`` are the cosines to what was clicked, ``far`` ``[…, B, R]`` those to the rivals.
        """
        return torch.zeros((), device=far.device), {}

    @abstractmethod
    def known_items(self, rows: I64) -> F32:
        """What the experts of this stage say of items, side by side: ``[n]`` -> ``[n, M * d]``."""

    def mean(self, scores: Tensor) -> Tensor:
        """The cosines ``[B, N]`` that hard negatives are compared by."""
        return scores

    def guide(self, drawn: Batch, distinct: I64) -> Tensor | None:
        """What a guide thinks of each row and item, ``[B, N]``; None where there is no guide."""
        return None

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        """Experts' outputs ``[b, M, d]`` of this rank's queries."""
        experts, has = self.towers.query_experts, queries.has_picture[queries.own]
        cached = self.knobs.cached_rows
        return run_experts(experts, queries.text, queries.picture, has, self.device, cached)

    def encode_items(self, rows: I64, bare: Bool) -> Tensor:
        """Experts' outputs ``[N, M, d]`` of items; where ``bare`` without their picture."""
        picture = np.where(bare, -1, self.data.item_picture[rows])
        has = (picture >= 0).astype(np.float32)
        text, feature = self.data.texts.batch(rows), self.pictures.for_items(picture)
        cached = self.knobs.cached_rows
        return run_experts(self.towers.item_experts, text, feature, has, self.device, cached)

    def experts_of(self, texts: list[str]) -> Tensor:
        """Experts' outputs ``[n, M, d]`` of queries without a picture."""
        text, none = self.data.text.queries(texts), np.zeros(len(texts), dtype=np.float32)
        picture = np.zeros((len(texts), self.config.picture.feature_dim), dtype=np.float32)
        return run_experts(self.towers.query_experts, text, picture, none, self.device)

    def tensor(self, array: np.ndarray) -> Tensor:
        """An array on the run's device."""
        return to_device(array, self.device)

    def _own(self, scores: Tensor, places: Tensor) -> Tensor:
        """Each row's own columns: cosines ``[…, B, N]`` and places ``[B, H]`` -> ``[…, B, H]``."""
        return scores[..., torch.arange(self.batch)[:, None], places]
