"""How the weights that come from a pretrained BERT train: at a lower rate, and not in every step."""

from __future__ import annotations

from models.towers import Config, Towers
from models.towers.experts import EXPERTS
from models.towers.experts.transformer import TextTransformer
from models.training.loop import Group


def expert_groups(towers: Towers, config: Config, rate: float = 1.0) -> list[Group]:
    """Groups of the experts' weights; those from a pretrained BERT train at ``experts.pretrained_rate``.

    Args:
        towers: both sides.
        config: knobs; whether there are pretrained weights at all.
        rate: of the experts over the stage's own.
    """
    every = towers.expert_parameters()
    if config.experts.shape is None:
        return [Group(every, rate)]
    experts = [module for module in towers.starting_from("bert") if isinstance(module, TextTransformer)]
    pretrained = {id(weight): weight for expert in experts for weight in expert.pretrained_weights()}
    own = [weight for weight in every if id(weight) not in pretrained]
    return [Group(own, rate), Group(list(pretrained.values()), rate * config.experts.pretrained_rate)]


def resting(config: Config, step: int) -> frozenset[str]:
    """Names of the experts that take no part in a step of stage 1."""
    every = config.experts.pretrained_every
    if config.experts.shape is None or (every > 0 and step % every == 0):
        return frozenset()
    return frozenset(name for name in config.dimensions.experts if EXPERTS[name].start == "bert")
