"""The knobs of training: its losses, its examples, its stages, when it ends, and its teacher.

All values are *inferred*, for the paper gives none.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from artifacts.bundle.manifest import CoClickSpec, Preprocessing
from models.towers.experts.config import Frozen


class LossConfig(Frozen):
    """Hybrid loss: alpha * MNSCE + beta * HNST."""

    #: Weight of MNSCE.
    alpha: float = 1.0
    #: 0 turns HNST off. A triplet's gradient is at most 1 a pair, that of MNSCE at most ``scale``.
    beta: float = 5.0
    #: HNST's share of the gradient at the cosines (`models.training.dose`), which sets beta anew in every
    #: step; 0 leaves beta as it is.
    hard_share: float = Field(default=0.3, ge=0.0, le=0.9)
    #: Most that ``hard_share`` may make of beta: where few triplets are active, each would weigh too much.
    beta_most: float = Field(default=50.0, gt=0.0)
    #: Scale of the cosines in MNSCE (1 / temperature).
    scale: float = 20.0
    #: Cosine that a hard negative of label 0 lies below the positive before HNST lets go of it.
    margin: float = 0.2
    #: Hard negatives for each positive.
    hard_negatives: int = 4
    #: Whether a row's hard negatives are columns of its MNSCE as well.
    hard_columns: bool = False
    #: Whether HNST compares items with their co-clicks. Every positive was clicked; where most of what is
    #: hard never was, HNST learns with them what was clicked instead of what answers.
    hard_coclicks: bool = True
    #: Whether any are mined; else labels alone give them. Each time encodes the catalogue and ranks it.
    mined: bool = True
    #: Share of them that is mined where a query has labels of low relevance too.
    mined_share: float = 0.5
    #: Ranks that mined hard negatives come from, as 1-based first and last.
    hard_ranks: tuple[int, int] = (1, 100)
    #: Whether stage 1 mines as well; each time encodes the catalogue with all experts.
    mine_experts: bool = False
    #: What keeps relevant items out of what is mined. ``known``: what was clicked for the same intent or is
    #: labelled so. ``margin``: also what is ranked less than ``guide_margin`` below the mean of those.
    #: ``teacher``: also what the teacher does not grade as of low relevance.
    mined_filter: Literal["known", "margin", "teacher"] = "margin"
    #: Columns of MNSCE that are no negatives of a row. ``known``: as above. ``guide``: in stage 2 also what
    #: the experts of stage 1 put nearer than ``guide_margin`` below the positive. ``teacher``: in stage 2
    #: also what the teacher grades as relevant among the experts' first hundred.
    false_negatives: Literal["known", "guide", "teacher"] = "known"
    #: Cosine; negative to let the guide decide only where it is sure.
    guide_margin: float = Field(default=0.05, ge=-1.0, le=1.0)
    #: Weight of distillation (MarginMSE): mined items lie below the positive as far as the teacher says.
    distil: float = Field(default=0.0, ge=0.0)
    #: Labels up to this are low relevance: hard negatives, never positives. A label below is no mere yes or
    #: no: the margin of its triplet is ``margin`` times (1 - label).
    low_relevance: float = 0.45
    #: Share that is kept of the labels of low relevance, of searches by words alone. Left out, at the step
    #: where HNST joins a stage, are those that look most like answers to the experts of that moment
    #: (`models.training.doubt`): near to the query, and to what was clicked for it. Below 1 where some of
    #: the labels are wrong.
    labels_kept: float = Field(default=1.0, gt=0.0, le=1.0)
    #: Share of each stage after which HNST joins it (softmax first, hard negatives after).
    hard_after: float = 0.5
    #: Uniform negatives from the catalogue, over the batch size.
    uniform_share: float = 0.5
    #: Scale of the cosines in what co-clicks teach (see ``data.companion_share``).
    companion_scale: float = 10.0
    #: Correct negatives for how often a step draws them, in the batch and uniformly (logQ).
    logq: bool = False
    #: Weight of the choice among answers: what a user with a history clicked, against what others clicked for
    #: the same words (`models.training.rivals`).
    choice: float = Field(default=0.0, ge=0.0)
    #: How many of the others a row gets.
    rivals: int = Field(default=8, ge=1, le=256)
    #: Weight of the loss of a user's interests beside that of queries; it always has logQ.
    interests: float = Field(default=0.5, ge=0.0)
    #: Of a row that asks for something in the loss of interests; one of browsing weighs 1.
    interests_asked: float = Field(default=0.25, ge=0.0)


class DataConfig(Frozen):
    """How events become examples."""

    #: Tokens that a tokenizer trained from the shop's texts has.
    vocabulary: int = 3000
    #: Share of the newest events held out for val, and for test, where the file marks no split.
    held_out: float = 0.05
    #: Rate of train queries that get a typo.
    typo_rate: float = 0.15
    #: Rate of examples whose query is emptied although the user has a history (browse).
    query_dropout: float = 0.1
    #: Rate of examples with a query picture whose text is emptied.
    picture_only: float = 0.3
    #: Rate of examples with a query picture whose picture is left out.
    query_picture_dropout: float = 0.3
    #: Rate of items whose picture is left out.
    item_picture_dropout: float = 0.1
    #: Rate of examples whose history is left out, so that the towers do without one too.
    history_dropout: float = 0.3
    #: Rate of items whose co-clicks are left out, as a new item has none.
    coclick_dropout: float = 0.2
    #: Co-clicked items kept for an item.
    coclick_top: int = 10
    #: A behaviour is paired with at most this many later ones of its visit; set it high where a visit is a
    #: basket whose items have one time and no order.
    coclick_following: int = 5
    #: Whether co-clicks are ranked and weighted by the cosine of the two items' behaviours instead of their
    #: count: what everybody buys is then nobody's companion.
    coclick_cosine: bool = False
    #: Stage 1: items in a step whose co-clicks teach FtAtt what goes together, over the batch size; for shops
    #: that are browsed more than searched. 0 for none.
    companion_share: float = 0.0
    #: Behaviours on the target item itself within this many days before count as the same visit and are
    #: cut from its portrait, so that the model does not learn to give back what was just clicked.
    same_item_days: float = 1.0
    #: Behaviours for the same words and picture within this many minutes before are of the same search, and
    #: cut from its portrait, in training and in evaluation: when the search was sent they had not happened.
    same_search_minutes: float = 60.0
    #: Whether several actions on one item take one place in a history, that of the last of them.
    one_slot: bool = True
    #: Examples drawn from item titles as if they were queries, as a share of a batch (weak supervision
    #: for items without events).
    title_share: float = 0.1
    #: Examples drawn from items' own pictures as if a shopper had searched with them, as a share of a batch:
    #: so the query side learns to read pictures though no search of the log has one.
    picture_share: float = 0.05

    @property
    def preprocessing(self) -> Preprocessing:
        """What a bundle says of how the log was read."""
        coclicks = CoClickSpec(
            top=self.coclick_top, following=self.coclick_following, cosine=self.coclick_cosine
        )
        return Preprocessing(
            held_out=self.held_out,
            same_item_days=self.same_item_days,
            same_search_minutes=self.same_search_minutes,
            one_slot=self.one_slot,
            coclicks=coclicks,
        )


class StageConfig(Frozen):
    """One training stage."""

    #: Steps of the stage.
    steps: int = 500
    #: Examples in a step.
    batch: int = 256
    #: Highest learning rate; it rises during the warmup and falls to 0 by a cosine.
    rate: float = 2e-3
    #: Of AdamW.
    weight_decay: float = 0.01
    #: Share of the steps in which the rate rises.
    warmup: float = 0.05
    #: Most that the norm of a step's gradient may be.
    clip: float = 1.0
    #: Times `LossConfig.uniform_share`. Over frozen experts an item more costs next to nothing.
    uniform: float = 1.0
    #: Rate of the experts in stage 2 over the stage's own; 0 freezes them.
    expert_rate: float = 0.0
    #: Steps after which hard negatives are mined anew, and portraits and co-click features made anew by
    #: experts that train in stage 2.
    refresh_every: int = Field(default=100, ge=1)
    #: Rows that are encoded at a time, and again for their gradient (cached gradients): memory is that of so
    #: many rows, not of the batch, for a third more time. 0 keeps all activations.
    cached_rows: int = Field(default=0, ge=0)
    #: Decay of the moving average of the weights, which then is what is kept, such as 0.999; 0 for none.
    ema: float = Field(default=0.0, ge=0.0, lt=1.0)


class ValidationConfig(Frozen):
    """Recall@K on val searches during stage 2; the best weights are kept. Off at ``every`` = 0."""

    #: Steps between two looks.
    every: int = Field(default=0, ge=0)
    #: Looks without a better one after which the stage ends; 0 goes on to the end and keeps the best.
    patience: int = Field(default=5, ge=0)
    #: K.
    at: int = Field(default=100, ge=1)
    #: Searches at most.
    requests: int = Field(default=1000, ge=1)


class TeacherConfig(Frozen):
    """The relevance teacher (`models.teacher`): a small cross-encoder of query and item. All *inferred*."""

    #: Whether a run trains one; `mrse train --teacher` turns it on and uses it.
    enabled: bool = False
    #: Width of the cross-encoder.
    hidden: int = Field(default=64, ge=8)
    #: Its layers.
    layers: int = Field(default=2, ge=1)
    #: Attention heads of each layer.
    heads: int = Field(default=4, ge=1)
    #: Rate of dropout.
    dropout: float = 0.1
    #: Steps of its training.
    steps: int = Field(default=800, ge=1)
    #: Queries of a step; each comes with what answers it and with items that do not.
    batch: int = Field(default=64, ge=2)
    #: Highest learning rate.
    rate: float = 2e-3
    #: Grade from which on an item counts as an answer that nobody clicked.
    answers: float = Field(default=0.7, ge=0.0, le=1.0)
    #: Cosine between what answers and what does not, in distillation.
    span: float = Field(default=0.5, gt=0.0, le=2.0)


class TasteConfig(Frozen):
    """Of ``user.kind = "taste"`` (`models.towers.taste`). All values are *inferred*."""

    #: Dimensions of the embedding that tastes have; never more than a quarter of them.
    dims: int = Field(default=32, ge=2)
    #: Their share of the squared length of an item's vector.
    share: float = Field(default=0.2, gt=0.0, lt=1.0)
    #: Cosine that an item gains where its chance of a click is e times as large; 1 / ``loss.scale`` would
    #: take the model's chances at their word. Chosen on val: more finds more clicks and costs relevance.
    amount: float = Field(default=0.045, ge=0.0)
    #: A query with so few answers is left to its words; one with seven times as many has the whole taste.
    answers: float = Field(default=20.0, ge=1.0)
    #: Most words of queries that items are read by, those of most clicks.
    words: int = Field(default=256, ge=1)
    #: Clicks that a word must have.
    word_clicks: int = Field(default=50, ge=1)
    #: Steps of each of its fits: of the words, of the tastes and of the number of answers.
    steps: int = Field(default=1000, ge=1)
    #: Clicks in a step.
    batch: int = Field(default=512, ge=1)
    #: What others clicked for the same words, for each click (`models.training.rivals`).
    rivals: int = Field(default=16, ge=1, le=256)
    #: Highest learning rate.
    rate: float = Field(default=0.03, gt=0.0)


class DistilConfig(Frozen):
    """``fusion.start = "distilled"``: a narrow embedding learns the order of the experts side by side.

    No click and no label is used. All values are *inferred*.
    """

    #: Queries that are made of titles, at most.
    made_queries: int = Field(default=60_000, ge=1)
    #: Distinct queries of the log's train split that are taken as well, at most.
    log_queries: int = Field(default=40_000, ge=0)
    #: Steps.
    steps: int = Field(default=300, ge=1)
    #: Queries of a step.
    batch: int = Field(default=512, ge=1)
    #: Items that a step ranks, at most.
    items: int = Field(default=4096, ge=2)
    #: Highest learning rate.
    rate: float = Field(default=5e-3, gt=0.0)
    #: Cosines are divided by it before they become shares: the smaller, the more the first ranks count.
    temperature: float = Field(default=0.04, gt=0.0)
    #: Decay of the moving average of the weights, which is what is kept.
    ema: float = Field(default=0.995, ge=0.0, lt=1.0)
