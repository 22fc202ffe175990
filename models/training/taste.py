"""The taste stage: what `models.towers.taste.Taste` knows, fitted over frozen experts after stage 2.

Three small fits by clicks of the train split. *Words*: which words the queries have that lead to an item, and
as if they were words too, in which third of its category its price lies (`models.dataset.bands`).
*Likings*: which of these words tell what a user picks among what others clicked for the same search; a weight
for each word, so that little can be learnt by heart. *Answers*: how many items a query has to choose among.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.arrays import F16, F32, I64
from common.files import replacing
from models.dataset.histories import Histories
from models.towers import Towers
from models.towers.taste import Taste
from models.towers.training_config import StageConfig
from models.training.encode import run_experts, to_device
from models.training.features import PictureFeatures
from models.training.loop import Losses, Stage
from models.training.rivals import Rivals, choice
from models.training.run import Run
from models.training.taste_words import Words

#: Items, queries, pairs of rivals and histories that are looked at, at most, and how many at a time.
_ITEMS, _QUERIES, _PAIRS, _TOLD, _CHUNK = 20_000, 20_000, 150_000, 200_000, 1024
#: How sharply a word is there or not where answers are counted, and where its middle lies, in logits below
#: the mean of items that were clicked for it.
_SHARP, _BELOW = 3.0, 1.0
_RIDGE, _DECAY = 1.0, 1e-4
#: Words are there by a fraction, so that weights of about 1 would say little.
_LOUD = 4.0
#: Share of searches by an item's own picture in the last fit: who shows a picture wants that.
_SHOWN = 0.1


def train_taste(run: Run, towers: Towers, pictures: PictureFeatures, features: F16) -> None:
    """Fit the tastes, or load what was fitted before, and turn them on; nothing where there are none."""
    if towers.taste is None:
        return
    path = run.folder / "taste.pt"
    if not path.is_file():
        _TasteFit(run, towers, pictures, features).fit()
        with replacing(path) as written:
            torch.save(towers.taste.state_dict(), written)
        for fit in run.folder.glob("taste-*.pt"):
            fit.unlink()
    load_taste(run, towers)


def load_taste(run: Run, towers: Towers) -> None:
    """Load tastes that were fitted before and turn them on; nothing where there are none."""
    if towers.taste is not None:
        path = run.folder / "taste.pt"
        towers.taste.load_state_dict(torch.load(path, map_location=run.device, weights_only=True))
        towers.taste.on = True


_Step = Callable[[int, np.random.Generator], Losses]


class _Likings(nn.Module):
    """The weight of each word while they are fitted; what is below 0 counts as 0."""

    def __init__(self, taste: Taste) -> None:
        super().__init__()
        self.taste = taste
        self.weight = nn.Parameter(torch.full((taste.words.out_features,), 0.3))

    def worth(self) -> Tensor:
        """Root of each word's weight ``[words]``."""
        return (_LOUD * self.weight.clamp(min=0.0)).sqrt()


class _TasteFit:
    def __init__(self, run: Run, towers: Towers, pictures: PictureFeatures, features: F16) -> None:
        assert towers.taste is not None
        self.run, self.towers, self.pictures = run, towers, pictures
        self.data, self.knobs, self.taste = run.data, run.config.taste, towers.taste
        #: ``[N, E d]``.
        self.features = features[0].reshape(len(features[0]), -1)
        self.query = np.asarray(self.data.query).astype(np.int64)
        self.item = np.asarray(self.data.item).astype(np.int64)
        self.asked: I64 = np.flatnonzero(self.query > 0)
        self.rivalry = Rivals(self.data)
        self.words = Words.read(self.data, Counter(self.query[self.asked].tolist()))
        #: Places of words of queries; those of bands come behind them.
        self.room = self.knobs.words - self.words.bands.shape[1]

    def fit(self) -> None:
        self.towers.eval()
        taste = self.taste
        for layer in (taste.words, taste.usual, taste.read):
            nn.init.zeros_(layer.weight)
        nn.init.constant_(taste.words.bias, -5.0)
        nn.init.zeros_(taste.usual.bias)
        if not self.words.names or not len(self.asked):
            return
        self._run("taste-words", taste.words, self._words)
        middle = self._middle()
        with torch.no_grad():
            taste.words.bias[: self.room] += (_BELOW - middle)[: self.room]
        told = self._told()
        if len(told):
            self._usual(told)
            likings, past = _Likings(taste).to(self.run.device), self.data.histories(told)
            self._run("taste-likings", likings, lambda step, rng: self._likings(likings, told, past, rng))
            self._read(likings)
        heard = self._heard()
        counted = self._counted(len(heard))
        self._run("taste-answers", taste.answers, lambda step, rng: self._answers(heard, counted, rng))

    def _run(self, name: str, module: nn.Module, losses: _Step) -> None:
        stage, knobs = Stage(name, self.run), self.knobs
        if stage.finished:
            stage.load(module)
            return
        how = StageConfig(steps=knobs.steps, batch=knobs.batch, rate=knobs.rate, weight_decay=0.0)
        # What was fitted before is part of what the next fit computes, and no longer moves.
        trained = {"params": list(module.parameters()), "factor": 1.0}
        stage.run(module, [trained], how, lambda step, rng, _: losses(step, rng))

    def _has(self, queries: I64) -> Tensor:
        """Which words queries ``[n]`` have: ``[n, words]``."""
        return self._tensor(self.words.of_queries(queries, self.knobs.words))

    def _of(self, items: I64) -> Tensor:
        return self._tensor(self.features[items].astype(np.float32))

    def _tensor(self, array: np.ndarray) -> Tensor:
        return to_device(array, self.run.device)

    def _words(self, step: int, rng: np.random.Generator) -> Losses:
        events = self.asked[rng.integers(len(self.asked), size=2 * self.knobs.batch)]
        clicked, any_items = self.item[events], rng.integers(len(self.features), size=2 * self.knobs.batch)
        logits = self.taste.logits(self._of(np.concatenate([clicked, any_items])))
        asked, banded = logits[: len(events), : self.room], logits[len(events) :, self.room :]
        wrong = partial(F.binary_cross_entropy_with_logits, reduction="sum")
        words = wrong(asked, self._has(self.query[events])[:, : self.room]) / len(events)
        bands = wrong(banded, self._tensor(self.words.bands[any_items])) / len(events)
        return {"loss": words + bands + _DECAY * self.taste.words.weight.square().sum(), "words": words}

    @torch.no_grad()
    def _middle(self) -> Tensor:
        """The mean logit of each word ``[words]`` where it was asked and the item clicked."""
        width = self.knobs.words
        total, count = torch.zeros(width), torch.zeros(width)
        events = _some(self.asked, _PAIRS)
        for start in range(0, len(events), _CHUNK):
            part = events[start : start + _CHUNK]
            has = self._has(self.query[part])
            total += (self.taste.logits(self._of(self.item[part])) * has).sum(dim=0).cpu()
            count += has.sum(dim=0).cpu()
        return (total / count.clamp(min=1.0)).to(self.run.device)

    def _told(self) -> I64:
        """Events of a search by words whose user has a history, at most so many."""
        knows = self.data.has_history()[self.asked]
        return _some(self.asked[knows & (self.data.intent[self.query[self.asked]] > 0)], _TOLD)

    @torch.no_grad()
    def _usual(self, told: I64) -> None:
        """What the words come to in what others clicked for the same search: least squares by the item."""
        rng = np.random.default_rng(self.run.config.seed)
        events = told[rng.integers(len(told), size=min(_PAIRS, 4 * len(told)))]
        width = self.features.shape[1] + 1
        square, mixed = torch.zeros(width, width), torch.zeros(width, self.knobs.words)
        for start in range(0, len(events), _CHUNK):
            part = events[start : start + _CHUNK]
            others = self.rivalry.of(part, 1, rng)
            kept = others.present[:, 0]
            x = F.pad(self._of(self.item[part[kept]]), (0, 1), value=1.0)
            y = torch.sigmoid(self.taste.logits(self._of(others.items[kept, 0])))
            square += (x.T @ x).cpu()
            mixed += (x.T @ y).cpu()
        found = torch.linalg.solve(square + _RIDGE * torch.eye(width), mixed).T
        self.taste.usual.weight.copy_(found[:, :-1])
        self.taste.usual.bias.copy_(found[:, -1])

    def _likings(self, likings: _Likings, told: I64, every: Histories, rng: np.random.Generator) -> Losses:
        chosen = rng.integers(len(told), size=self.knobs.batch)
        events, past = told[chosen], every.part(chosen)
        others = self.rivalry.of(events, self.knobs.rivals, rng)
        wanted = np.concatenate([past.items.ravel(), self.item[events], others.items.ravel()])
        distinct, places = np.unique(np.maximum(wanted, 0), return_inverse=True)
        with torch.no_grad():
            held = self.taste.rare(self._of(distinct))
        found = held * likings.worth()
        rows, ends = len(events), np.cumsum([past.items.size, len(events)])
        of_past, of_own, of_others = (self._tensor(part) for part in np.split(places, ends))
        weights = self.taste.weights(self._tensor(past.behaviour), self._tensor(past.age_days))
        user = torch.einsum("bk,bkw->bw", weights, found[of_past].view(rows, -1, found.shape[1]))
        own = (user * found[of_own]).sum(dim=1)
        rivals = torch.einsum("bw,brw->br", user, found[of_others].view(rows, -1, found.shape[1]))
        loss = choice(own, rivals, self._tensor(others.present), scale=1.0)
        return {"loss": loss}

    @torch.no_grad()
    def _read(self, likings: _Likings) -> None:
        """The components of the weighted words that tell most of the catalogue apart."""
        width = self.knobs.words
        square = torch.zeros(width, width)
        rows = _some(np.arange(len(self.features)), _ITEMS)
        for start in range(0, len(rows), _CHUNK):
            found = self.taste.rare(self._of(rows[start : start + _CHUNK])) * likings.worth()
            square += (found.T @ found).cpu()
        kept = self.taste.read.out_features
        axes = torch.linalg.eigh(square)[1].flip(1)[:, :kept]
        # The sign of an axis means nothing; it is made the same on every machine.
        largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
        axes = (axes * largest.sign()).to(self.run.device)
        read = (axes * likings.worth()[:, None]).T
        self.taste.read.weight[: len(read)] = read
        lengths = [
            self.taste.likings(self._of(rows[start : start + _CHUNK])).norm(dim=1).cpu()
            for start in range(0, len(rows), _CHUNK)
        ]
        self.taste.reach.fill_(max(1e-3, float(torch.quantile(torch.cat(lengths), 0.99))))

    @torch.no_grad()
    def _heard(self) -> F32:
        """What the experts say of the distinct queries ``[Q, E, d]``; of many the first ones."""
        parts = []
        most = min(len(self.data.queries), _QUERIES)
        for start in range(0, most, _CHUNK):
            texts = self.data.queries[start : min(start + _CHUNK, most)]
            none = np.zeros(len(texts), dtype=np.float32)
            picture = np.zeros((len(texts), self.run.config.picture.feature_dim), dtype=np.float32)
            said = run_experts(
                self.towers.query_experts, self.data.text.queries(texts), picture, none, self.run.device
            )
            parts.append(said.cpu().numpy())
        return np.concatenate(parts)

    @torch.no_grad()
    def _counted(self, queries: int) -> F32:
        """How many items have all words of the first queries, as a logarithm ``[Q]``."""
        rows = _some(np.arange(len(self.features)), _ITEMS)
        parts = [
            torch.sigmoid(_SHARP * self.taste.logits(self._of(rows[start : start + _CHUNK])))
            for start in range(0, len(rows), _CHUNK)
        ]
        there = torch.cat(parts).cpu().numpy().T.copy()
        share = len(self.features) / len(rows)
        known: dict[bytes, float] = {}
        for spelt in self.words.spelt[:queries]:
            if (key := spelt.tobytes()) not in known:
                known[key] = float(np.log1p(share * there[spelt].prod(axis=0).sum()))
        return np.array([known[spelt.tobytes()] for spelt in self.words.spelt[:queries]], dtype=np.float32)

    def _answers(self, heard: F32, counted: F32, rng: np.random.Generator) -> Losses:
        batch = self.knobs.batch
        events = self.asked[rng.integers(len(self.asked), size=batch)]
        rows = self.query[events]
        rows = rows[rows < len(heard)]
        shown = self._shown(round(_SHOWN * batch), rng)
        said = torch.cat([self._tensor(heard[rows]), shown])
        wanted = np.concatenate([counted[rows], np.zeros(len(shown), np.float32)])
        guess = self.taste.answers(said.flatten(1))[:, 0]
        return {"loss": F.smooth_l1_loss(guess, self._tensor(wanted))}

    @torch.no_grad()
    def _shown(self, count: int, rng: np.random.Generator) -> Tensor:
        """What the experts say of searches by items' own pictures ``[n, E, d]``; none where there are none.

        Every other one has a word of the title beside it.
        """
        data = self.data
        pictured = np.flatnonzero(np.asarray(data.item_picture) >= 0)
        if not len(pictured) or not self.run.config.switches.picture:
            return self._tensor(np.zeros((0, *self.run.config.dimensions.shape), np.float32))
        rows = rng.choice(pictured, count)
        words = [rng.choice(data.title(row).split() or [""]) if n % 2 else "" for n, row in enumerate(rows)]
        text, has = data.text.queries([str(word) for word in words]), np.ones(count, dtype=np.float32)
        seen = self.pictures.for_items(data.item_picture[rows])
        return run_experts(self.towers.query_experts, text, seen, has, self.run.device)


def _some(rows: I64, most: int) -> I64:
    """At most so many rows, evenly spread."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
