"""The experts of the LMoE: text, picture and subwords to vectors of one width.

::

    expert        what an `Expert` is: its name, how it is built, what it reads, how it starts
    config        the knobs that experts are built from
    vbert         picture and text          light_bert    text          ftatt    subwords
    transformer   the text transformer inside VBert and Light-Bert
    silent        what stands in for an expert that is switched off
    layers        attention, blocks and embeddings

To add an expert, write a module with an `Expert` and name it in `EXPERTS`; from outside, a module that
``MRSE_EXTENSIONS`` names calls `register`. The axis of the graphs, the gate, portraits, switches, losses,
curves and ``explain`` take names and number from there.
"""

from models.towers.experts.expert import Expert, Sizes
from models.towers.experts.ftatt import FTATT
from models.towers.experts.light_bert import LIGHT_BERT
from models.towers.experts.vbert import VBERT

#: By name, in the order of the experts' axis.
EXPERTS: dict[str, Expert] = {expert.name: expert for expert in (VBERT, LIGHT_BERT, FTATT)}


def register(expert: Expert) -> None:
    """Add an expert behind the others, or replace the one of its name; before a `Config` is made."""
    EXPERTS[expert.name] = expert


__all__ = ["EXPERTS", "Expert", "Sizes", "register"]
