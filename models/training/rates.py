"""How a pretrained BERT's weights train: at a lower rate, and not in every step."""

from __future__ import annotations

from torch import nn

from models.towers import Config, Towers
from models.training.loop import Group

_PARTS = ("embed", "blocks")


def expert_groups(towers: Towers, config: Config, rate: float = 1.0) -> list[Group]:
    """Groups of the experts' weights; those of a pretrained BERT train at ``experts.pretrained_rate``.

    Args:
        towers: both sides.
        config: knobs; whether there are pretrained weights at all.
        rate: of the experts over the stage's own.
    """
    every = towers.expert_parameters()
    if config.experts.shape is None:
        return [Group(every, rate)]
    given: dict[int, nn.Parameter] = {}
    for side in (towers.query_experts, towers.item_experts):
        for expert in (side.vbert, side.light_bert):
            for part in _PARTS:
                if hasattr(expert, part):
                    given |= {id(weight): weight for weight in getattr(expert, part).parameters()}
    own = [weight for weight in every if id(weight) not in given]
    return [Group(own, rate), Group(list(given.values()), rate * config.experts.pretrained_rate)]


def resting(config: Config, step: int) -> frozenset[str]:
    """Experts that take no part in a step of stage 1."""
    every = config.experts.pretrained_every
    if config.experts.shape is None or (every > 0 and step % every == 0):
        return frozenset()
    return frozenset({"vbert", "light_bert"})
