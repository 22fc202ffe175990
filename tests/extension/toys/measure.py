"""Recall@3."""

from models.evaluation.measures import Measure, recall, register

register(Measure("Recall@3", "request", recall(3)))
