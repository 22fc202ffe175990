"""Figures of a bundle on held-out requests, and a look for the known ways to fail.

::

    heldout        the requests that were held out, numbered by query
    grades         how relevant items are: by a synthetic shop's judge, or by the labels of the events
    retriever      answers requests as serving does: query tower, portraits, exact search
    bm25           the baseline for text queries
    subject        what is measured: all of these, opened for one bundle, shop and split
    answers        what one system answered, and what is known of each answer
    measures       the registry of measures: name, unit, value of each request
    statistics     intervals and tests, with the query as the unit
    slices         groups of requests that are looked at by themselves
    evaluate       every measure by slice, with intervals, beside baselines
    html, report_page        the evaluation as a page that stands alone
    diagnose, probes*, finding, collapse, losses     one probe for each known way to fail

To add a measure: a function from `Answers` to the value of each request, and a line in
`measures.MEASURES`. Terminal, JSON, page and ablation take it from there.
"""

from models.evaluation.evaluate import Evaluation, evaluate
from models.evaluation.measures import MEASURES, Measure, register

__all__ = ["MEASURES", "Evaluation", "Measure", "evaluate", "register"]
