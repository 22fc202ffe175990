"""Recall@3."""

from functools import partial

from models.evaluation.measures import Measure, recall, register

register(Measure("Recall@3", "request", partial(recall, k=3)))
