"""What an experiment came to: exposures of the service and outcomes of the shop, read together.

::

    exposures    the exposure log of one experiment, as columns
    outcomes     clicks, carts, orders and revenue, joined to the units that saw something
    units        the arm of each unit, what it did from then on, and how they should be split
    statistics   ratios of sums over units: intervals, CUPED, sequential intervals, the split
    interleaving whose items users chose, where teams drafted the answers
    report       all of it for each arm against the control
    page         the report as a page that stands alone

The unit of every figure is what the service draws arms for (``client_id``), never the answer: answers to one
user are not independent.
"""

from models.experiment.report import Report, report

__all__ = ["Report", "report"]
