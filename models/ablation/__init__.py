"""Which parts of the model earn their place: the paper's experiments, checks and open questions as runs.

::

    matrix    the cells: the full model, and configurations that differ from it in one thing; the claims
    subset    a part of the shop's catalogue as a shop of its own
    plan      every run: its configuration, its shop, and which runs share what; claims of folders
    runs      trains, exports and measures one run, and reads back what it gave
    ablate    works off the plan, alone or with more processes, and writes what was found
    summary   figures of each cell over its seeds, its difference to the full model, which claims hold
    page      all of it as a page

Every run leaves the sums of every measure of the registry by slice and query (`runs.Outcome`), so that cells
are compared query by query.
"""

from models.ablation.ablate import Ablation, ablate
from models.ablation.matrix import GROUPS, Cell, cells

__all__ = ["GROUPS", "Ablation", "Cell", "ablate", "cells"]
