"""Shapes of the products, one for each leaf category, in a unit square with y pointing down.

A shape is a list of parts painted in order. ``body`` parts carry colour and pattern, ``trim`` parts a
darker shade of the colour, ``hole`` parts the background.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

Point = tuple[float, float]
#: A filled polygon: its role and its points.
Part = tuple[Literal["body", "trim", "hole"], tuple[Point, ...]]


@dataclass(frozen=True, slots=True)
class Silhouette:
    """The parts of a shape, and where its logo goes (centre and radius)."""

    parts: tuple[Part, ...]
    logo: tuple[float, float, float]


_CUSHION = "5,5 28,12 50,14 72,12 95,5 88,28 86,50 88,72 95,95 72,88 50,86 28,88 5,95 12,72 14,50 12,28"


def _poly(points: str) -> tuple[Point, ...]:
    """Points written as in SVG, in hundredths: ``"3,74 3,20"``."""
    pairs = (pair.split(",") for pair in points.split())
    return tuple((float(x) / 100, float(y) / 100) for x, y in pairs)


def _box(x0: float, y0: float, x1: float, y1: float) -> tuple[Point, ...]:
    return (x0, y0), (x1, y0), (x1, y1), (x0, y1)


def _oval(x: float, y: float, rx: float, ry: float, start: float = 0, stop: float = 360) -> tuple[Point, ...]:
    """Points of an ellipse or, for less than 360 degrees (clockwise from the right), of its segment."""
    steps = max(8, round((stop - start) / 15))
    angles = [math.radians(start + (stop - start) * k / steps) for k in range(steps + 1)]
    return tuple((x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles)


def _smooth(points: str) -> tuple[Point, ...]:
    """As `_poly`, with rounded corners (Chaikin, twice)."""
    current = list(_poly(points))
    for _ in range(2):
        cut: list[Point] = []
        for (ax, ay), (bx, by) in zip(current, [*current[1:], current[0]], strict=True):
            cut += [(s * ax + (1 - s) * bx, s * ay + (1 - s) * by) for s in (0.75, 0.25)]
        current = cut
    return tuple(current)


def _shape(logo: tuple[float, float, float], *parts: Part) -> Silhouette:
    return Silhouette(parts, logo)


@cache
def silhouettes() -> tuple[Silhouette, ...]:
    """Shapes in the order of `lexicon.CATEGORIES`."""
    shapes = {
        "running shoe": _shape(
            (0.36, 0.52, 0.15),
            ("body", _smooth("3,74 3,20 14,16 26,30 46,22 62,42 98,52 98,74")),
            ("trim", _poly("2,72 98,72 95,86 5,86")),
        ),
        "boot": _shape(
            (0.40, 0.36, 0.15),
            ("body", _smooth("20,5 60,5 60,50 74,60 93,68 93,86 20,86")),
            ("trim", _box(0.17, 0.84, 0.94, 0.93)),
            ("trim", _box(0.19, 0.06, 0.61, 0.13)),
        ),
        "heel": _shape(
            (0.32, 0.47, 0.14),
            ("trim", _poly("11,40 24,46 18,90 12,90")),
            ("body", _poly("10,22 24,16 34,34 52,56 74,64 97,78 95,86 66,84 42,68 22,46 12,42")),
        ),
        "t shirt": _shape(
            (0.5, 0.50, 0.17),
            ("body", _poly("34,12 66,12 98,30 88,48 76,42 76,92 24,92 24,42 12,48 2,30")),
            ("hole", _oval(0.5, 0.12, 0.13, 0.09)),
        ),
        "dress": _shape(
            (0.5, 0.70, 0.16),
            ("body", _poly("34,4 42,4 46,16 54,16 58,4 66,4 68,24 62,42 90,95 10,95 38,42 32,24")),
            ("trim", _box(0.375, 0.40, 0.625, 0.46)),
        ),
        "trousers": _shape(
            (0.36, 0.32, 0.14),
            ("body", _poly("26,5 74,5 82,96 60,96 50,36 40,96 18,96")),
            ("trim", _box(0.255, 0.04, 0.745, 0.11)),
        ),
        "sock": _shape(
            (0.50, 0.34, 0.14),
            ("body", _smooth("34,4 66,4 66,52 62,62 30,94 6,94 6,74 34,50")),
            ("trim", _box(0.34, 0.04, 0.66, 0.13)),
        ),
        "cap": _shape(
            (0.42, 0.42, 0.15),
            ("body", _oval(0.42, 0.60, 0.36, 0.42, 180, 360)),
            ("trim", _smooth("40,58 80,58 100,70 98,74 60,68 38,66")),
            ("trim", _oval(0.42, 0.18, 0.04, 0.03)),
        ),
        "mug": _shape(
            (0.38, 0.54, 0.17),
            ("trim", _oval(0.70, 0.52, 0.24, 0.24)),
            ("hole", _oval(0.70, 0.52, 0.14, 0.14)),
            ("body", _poly("10,18 68,18 64,88 14,88")),
            ("trim", _oval(0.39, 0.18, 0.29, 0.06)),
        ),
        "plate": _shape(
            (0.5, 0.5, 0.16),
            ("body", _oval(0.5, 0.5, 0.46, 0.46)),
            ("trim", _oval(0.5, 0.5, 0.30, 0.30)),
            ("body", _oval(0.5, 0.5, 0.27, 0.27)),
        ),
        "bottle": _shape(
            (0.5, 0.62, 0.15),
            ("body", _smooth("40,18 60,18 62,30 72,42 72,97 28,97 28,42 38,30")),
            ("trim", _box(0.40, 0.03, 0.60, 0.20)),
        ),
        "teapot": _shape(
            (0.48, 0.58, 0.16),
            ("trim", _oval(0.16, 0.54, 0.15, 0.18)),
            ("hole", _oval(0.17, 0.54, 0.08, 0.11)),
            ("trim", _poly("70,66 98,30 90,28 68,46")),
            ("body", _oval(0.48, 0.60, 0.33, 0.27)),
            ("trim", _oval(0.48, 0.34, 0.20, 0.06)),
            ("trim", _oval(0.48, 0.26, 0.05, 0.05)),
        ),
        "backpack": _shape(
            (0.5, 0.36, 0.15),
            ("trim", _oval(0.5, 0.12, 0.15, 0.10)),
            ("hole", _oval(0.5, 0.12, 0.09, 0.06)),
            ("trim", _box(0.08, 0.46, 0.92, 0.84)),
            ("body", _smooth("20,10 80,10 86,95 14,95")),
            ("trim", _box(0.28, 0.60, 0.72, 0.64)),
            ("trim", _box(0.28, 0.60, 0.32, 0.86)),
            ("trim", _box(0.68, 0.60, 0.72, 0.86)),
        ),
        "handbag": _shape(
            (0.5, 0.68, 0.15),
            ("trim", _oval(0.5, 0.42, 0.28, 0.36)),
            ("hole", _oval(0.5, 0.42, 0.21, 0.29)),
            ("body", _poly("16,42 84,42 96,92 4,92")),
            ("trim", _poly("16,42 84,42 85.5,48 14.5,48")),
        ),
        "cushion": _shape(
            (0.5, 0.5, 0.17),
            ("body", _poly(_CUSHION)),
        ),
        "lamp": _shape(
            (0.5, 0.32, 0.15),
            ("trim", _box(0.46, 0.50, 0.54, 0.90)),
            ("trim", _oval(0.5, 0.92, 0.22, 0.06)),
            ("body", _poly("32,6 68,6 88,56 12,56")),
        ),
        "vase": _shape(
            (0.5, 0.62, 0.16),
            ("body", _smooth("34,5 66,5 58,24 86,52 78,82 64,96 36,96 22,82 14,52 42,24")),
            ("trim", _oval(0.5, 0.08, 0.13, 0.035)),
        ),
        "umbrella": _shape(
            (0.5, 0.30, 0.14),
            ("trim", _box(0.48, 0.45, 0.52, 0.90)),
            ("trim", _oval(0.58, 0.88, 0.10, 0.09, 0, 180)),
            ("hole", _oval(0.58, 0.88, 0.05, 0.045, 0, 180)),
            ("body", _oval(0.5, 0.50, 0.47, 0.44, 180, 360)),
            ("hole", _oval(0.19, 0.51, 0.15, 0.05)),
            ("hole", _oval(0.50, 0.51, 0.15, 0.05)),
            ("hole", _oval(0.81, 0.51, 0.15, 0.05)),
            ("trim", _box(0.48, 0.45, 0.52, 0.56)),
        ),
        "tie": _shape(
            (0.5, 0.66, 0.14),
            ("body", _poly("44,18 56,18 68,80 50,98 32,80")),
            ("trim", _poly("38,2 62,2 57,19 43,19")),
        ),
        "phone case": _shape(
            (0.5, 0.66, 0.15),
            ("body", _smooth("24,2 76,2 76,6 76,94 76,98 24,98 24,94 24,6")),
            ("trim", _smooth("28,7 52,7 52,30 28,30")),
            ("hole", _oval(0.40, 0.13, 0.05, 0.05)),
            ("hole", _oval(0.40, 0.24, 0.05, 0.05)),
        ),
    }
    return tuple(shapes.values())
