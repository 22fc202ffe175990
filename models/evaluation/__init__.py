"""Figures of a bundle on held-out events."""

from models.evaluation.recall_report import Report, Row, evaluate

__all__ = ["Report", "Row", "evaluate"]
