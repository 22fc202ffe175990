"""Which parts of the model earn their place: the paper's experiments, checks and open questions as runs."""

from models.ablation.ablate import Ablation, ablate
from models.ablation.matrix import GROUPS, Cell, cells

__all__ = ["GROUPS", "Ablation", "Cell", "ablate", "cells"]
