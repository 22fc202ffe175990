"""How the weights that come from a pretrained BERT train: at a lower rate, and not in every step."""

from __future__ import annotations

from typing import Any

from models.towers import Config, Towers
from models.towers.experts import EXPERTS
from models.towers.experts.transformer import TextTransformer


def expert_groups(towers: Towers, config: Config, factor: float = 1.0) -> list[dict[str, Any]]:
    """Parameter groups of the experts, which train at ``factor`` times the stage's rate.

    Weights from a pretrained BERT train at ``experts.pretrained_rate`` times that.
    """
    every = towers.expert_parameters()
    if config.experts.shape is None:
        return [{"params": every, "factor": factor}]
    experts = [module for module in towers.starting_from("bert") if isinstance(module, TextTransformer)]
    pretrained = {id(weight): weight for expert in experts for weight in expert.pretrained_weights()}
    own = [weight for weight in every if id(weight) not in pretrained]
    slow = factor * config.experts.pretrained_rate
    return [{"params": own, "factor": factor}, {"params": list(pretrained.values()), "factor": slow}]


def resting(config: Config, step: int) -> frozenset[str]:
    """Names of the experts that take no part in a step of stage 1."""
    every = config.experts.pretrained_every
    if config.experts.shape is None or (every > 0 and step % every == 0):
        return frozenset()
    return frozenset(name for name in config.dimensions.experts if EXPERTS[name].start == "bert")
