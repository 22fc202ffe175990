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
Role = Literal["body", "trim", "hole"]


@dataclass(frozen=True, slots=True)
class Part:
    """A filled polygon."""

    role: Role
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Silhouette:
    """The parts of a shape, and where its logo goes (centre and radius)."""

    parts: tuple[Part, ...]
    logo: tuple[float, float, float]


def _poly(*points: Point) -> tuple[Point, ...]:
    return points


def _box(x0: float, y0: float, x1: float, y1: float) -> tuple[Point, ...]:
    return (x0, y0), (x1, y0), (x1, y1), (x0, y1)


def _oval(x: float, y: float, rx: float, ry: float, start: float = 0, stop: float = 360) -> tuple[Point, ...]:
    """Points of an ellipse or, for less than 360 degrees (clockwise from the right), of its segment."""
    steps = max(8, round((stop - start) / 15))
    angles = [math.radians(start + (stop - start) * k / steps) for k in range(steps + 1)]
    return tuple((x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles)


def _smooth(*points: Point) -> tuple[Point, ...]:
    """Rounds a polygon's corners (Chaikin, twice)."""
    current = list(points)
    for _ in range(2):
        cut: list[Point] = []
        for (ax, ay), (bx, by) in zip(current, [*current[1:], current[0]], strict=True):
            cut += [
                (0.75 * ax + 0.25 * bx, 0.75 * ay + 0.25 * by),
                (0.25 * ax + 0.75 * bx, 0.25 * ay + 0.75 * by),
            ]
        current = cut
    return tuple(current)


def _shape(logo: tuple[float, float, float], *parts: tuple[Role, tuple[Point, ...]]) -> Silhouette:
    return Silhouette(tuple(Part(role, points) for role, points in parts), logo)


@cache
def silhouettes() -> tuple[Silhouette, ...]:
    """Shapes in the order of `lexicon.CATEGORIES`."""
    return (
        _running_shoe(), _boot(), _heel(), _t_shirt(), _dress(), _trousers(), _sock(), _cap(), _mug(),
        _plate(), _bottle(), _teapot(), _backpack(), _handbag(), _cushion(), _lamp(), _vase(), _umbrella(),
        _tie(), _phone_case(),
    )  # fmt: skip


def _running_shoe() -> Silhouette:
    upper = _smooth(
        (0.03, 0.74),
        (0.03, 0.20),
        (0.14, 0.16),
        (0.26, 0.30),
        (0.46, 0.22),
        (0.62, 0.42),
        (0.98, 0.52),
        (0.98, 0.74),
    )
    sole = _poly((0.02, 0.72), (0.98, 0.72), (0.95, 0.86), (0.05, 0.86))
    return _shape((0.36, 0.52, 0.15), ("body", upper), ("trim", sole))


def _boot() -> Silhouette:
    upper = _smooth(
        (0.20, 0.05), (0.60, 0.05), (0.60, 0.50), (0.74, 0.60), (0.93, 0.68), (0.93, 0.86), (0.20, 0.86)
    )
    return _shape(
        (0.40, 0.36, 0.15),
        ("body", upper),
        ("trim", _box(0.17, 0.84, 0.94, 0.93)),
        ("trim", _box(0.19, 0.06, 0.61, 0.13)),
    )


def _heel() -> Silhouette:
    upper = _poly(
        (0.10, 0.22), (0.24, 0.16), (0.34, 0.34), (0.52, 0.56),
        (0.74, 0.64), (0.97, 0.78), (0.95, 0.86), (0.66, 0.84),
        (0.42, 0.68), (0.22, 0.46), (0.12, 0.42),
    )  # fmt: skip
    return _shape(
        (0.32, 0.47, 0.14),
        ("trim", _poly((0.11, 0.40), (0.24, 0.46), (0.18, 0.90), (0.12, 0.90))),
        ("body", upper),
    )


def _t_shirt() -> Silhouette:
    body = _poly(
        (0.34, 0.12), (0.66, 0.12), (0.98, 0.30), (0.88, 0.48),
        (0.76, 0.42), (0.76, 0.92), (0.24, 0.92), (0.24, 0.42),
        (0.12, 0.48), (0.02, 0.30),
    )  # fmt: skip
    return _shape((0.5, 0.50, 0.17), ("body", body), ("hole", _oval(0.5, 0.12, 0.13, 0.09)))


def _dress() -> Silhouette:
    body = _poly(
        (0.34, 0.04), (0.42, 0.04), (0.46, 0.16), (0.54, 0.16),
        (0.58, 0.04), (0.66, 0.04), (0.68, 0.24), (0.62, 0.42),
        (0.90, 0.95), (0.10, 0.95), (0.38, 0.42), (0.32, 0.24),
    )  # fmt: skip
    return _shape((0.5, 0.70, 0.16), ("body", body), ("trim", _box(0.375, 0.40, 0.625, 0.46)))


def _trousers() -> Silhouette:
    body = _poly(
        (0.26, 0.05), (0.74, 0.05), (0.82, 0.96), (0.60, 0.96), (0.50, 0.36), (0.40, 0.96), (0.18, 0.96)
    )
    return _shape((0.36, 0.32, 0.14), ("body", body), ("trim", _box(0.255, 0.04, 0.745, 0.11)))


def _sock() -> Silhouette:
    body = _smooth(
        (0.34, 0.04),
        (0.66, 0.04),
        (0.66, 0.52),
        (0.62, 0.62),
        (0.30, 0.94),
        (0.06, 0.94),
        (0.06, 0.74),
        (0.34, 0.50),
    )
    return _shape((0.50, 0.34, 0.14), ("body", body), ("trim", _box(0.34, 0.04, 0.66, 0.13)))


def _cap() -> Silhouette:
    crown = _oval(0.42, 0.60, 0.36, 0.42, 180, 360)
    brim = _smooth((0.40, 0.58), (0.80, 0.58), (1.00, 0.70), (0.98, 0.74), (0.60, 0.68), (0.38, 0.66))
    return _shape(
        (0.42, 0.42, 0.15), ("body", crown), ("trim", brim), ("trim", _oval(0.42, 0.18, 0.04, 0.03))
    )


def _mug() -> Silhouette:
    return _shape(
        (0.38, 0.54, 0.17),
        ("trim", _oval(0.70, 0.52, 0.24, 0.24)),
        ("hole", _oval(0.70, 0.52, 0.14, 0.14)),
        ("body", _poly((0.10, 0.18), (0.68, 0.18), (0.64, 0.88), (0.14, 0.88))),
        ("trim", _oval(0.39, 0.18, 0.29, 0.06)),
    )


def _plate() -> Silhouette:
    ring = _oval(0.5, 0.5, 0.30, 0.30)
    inner = _oval(0.5, 0.5, 0.27, 0.27)
    return _shape((0.5, 0.5, 0.16), ("body", _oval(0.5, 0.5, 0.46, 0.46)), ("trim", ring), ("body", inner))


def _bottle() -> Silhouette:
    body = _smooth(
        (0.40, 0.18),
        (0.60, 0.18),
        (0.62, 0.30),
        (0.72, 0.42),
        (0.72, 0.97),
        (0.28, 0.97),
        (0.28, 0.42),
        (0.38, 0.30),
    )
    return _shape((0.5, 0.62, 0.15), ("body", body), ("trim", _box(0.40, 0.03, 0.60, 0.20)))


def _teapot() -> Silhouette:
    return _shape(
        (0.48, 0.58, 0.16),
        ("trim", _oval(0.16, 0.54, 0.15, 0.18)),
        ("hole", _oval(0.17, 0.54, 0.08, 0.11)),
        ("trim", _poly((0.70, 0.66), (0.98, 0.30), (0.90, 0.28), (0.68, 0.46))),
        ("body", _oval(0.48, 0.60, 0.33, 0.27)),
        ("trim", _oval(0.48, 0.34, 0.20, 0.06)),
        ("trim", _oval(0.48, 0.26, 0.05, 0.05)),
    )


def _backpack() -> Silhouette:
    return _shape(
        (0.5, 0.36, 0.15),
        ("trim", _oval(0.5, 0.12, 0.15, 0.10)),
        ("hole", _oval(0.5, 0.12, 0.09, 0.06)),
        ("trim", _box(0.08, 0.46, 0.92, 0.84)),
        ("body", _smooth((0.20, 0.10), (0.80, 0.10), (0.86, 0.95), (0.14, 0.95))),
        ("trim", _box(0.28, 0.60, 0.72, 0.64)),
        ("trim", _box(0.28, 0.60, 0.32, 0.86)),
        ("trim", _box(0.68, 0.60, 0.72, 0.86)),
    )


def _handbag() -> Silhouette:
    return _shape(
        (0.5, 0.68, 0.15),
        ("trim", _oval(0.5, 0.42, 0.28, 0.36)),
        ("hole", _oval(0.5, 0.42, 0.21, 0.29)),
        ("body", _poly((0.16, 0.42), (0.84, 0.42), (0.96, 0.92), (0.04, 0.92))),
        ("trim", _poly((0.16, 0.42), (0.84, 0.42), (0.855, 0.48), (0.145, 0.48))),
    )


def _cushion() -> Silhouette:
    body = _poly(
        (0.05, 0.05), (0.28, 0.12), (0.50, 0.14), (0.72, 0.12),
        (0.95, 0.05), (0.88, 0.28), (0.86, 0.50), (0.88, 0.72),
        (0.95, 0.95), (0.72, 0.88), (0.50, 0.86), (0.28, 0.88),
        (0.05, 0.95), (0.12, 0.72), (0.14, 0.50), (0.12, 0.28),
    )  # fmt: skip
    return _shape((0.5, 0.5, 0.17), ("body", body))


def _lamp() -> Silhouette:
    return _shape(
        (0.5, 0.32, 0.15),
        ("trim", _box(0.46, 0.50, 0.54, 0.90)),
        ("trim", _oval(0.5, 0.92, 0.22, 0.06)),
        ("body", _poly((0.32, 0.06), (0.68, 0.06), (0.88, 0.56), (0.12, 0.56))),
    )


def _vase() -> Silhouette:
    body = _smooth(
        (0.34, 0.05), (0.66, 0.05), (0.58, 0.24), (0.86, 0.52),
        (0.78, 0.82), (0.64, 0.96), (0.36, 0.96), (0.22, 0.82),
        (0.14, 0.52), (0.42, 0.24),
    )  # fmt: skip
    return _shape((0.5, 0.62, 0.16), ("body", body), ("trim", _oval(0.5, 0.08, 0.13, 0.035)))


def _umbrella() -> Silhouette:
    return _shape(
        (0.5, 0.30, 0.14),
        ("trim", _box(0.48, 0.45, 0.52, 0.90)),
        ("trim", _oval(0.58, 0.88, 0.10, 0.09, 0, 180)),
        ("hole", _oval(0.58, 0.88, 0.05, 0.045, 0, 180)),
        ("body", _oval(0.5, 0.50, 0.47, 0.44, 180, 360)),
        ("hole", _oval(0.19, 0.51, 0.15, 0.05)),
        ("hole", _oval(0.50, 0.51, 0.15, 0.05)),
        ("hole", _oval(0.81, 0.51, 0.15, 0.05)),
        ("trim", _box(0.48, 0.45, 0.52, 0.56)),
    )


def _tie() -> Silhouette:
    blade = _poly((0.44, 0.18), (0.56, 0.18), (0.68, 0.80), (0.50, 0.98), (0.32, 0.80))
    return _shape(
        (0.5, 0.66, 0.14),
        ("body", blade),
        ("trim", _poly((0.38, 0.02), (0.62, 0.02), (0.57, 0.19), (0.43, 0.19))),
    )


def _phone_case() -> Silhouette:
    return _shape(
        (0.5, 0.66, 0.15),
        (
            "body",
            _smooth(
                (0.24, 0.02),
                (0.76, 0.02),
                (0.76, 0.06),
                (0.76, 0.94),
                (0.76, 0.98),
                (0.24, 0.98),
                (0.24, 0.94),
                (0.24, 0.06),
            ),
        ),
        ("trim", _smooth((0.28, 0.07), (0.52, 0.07), (0.52, 0.30), (0.28, 0.30))),
        ("hole", _oval(0.40, 0.13, 0.05, 0.05)),
        ("hole", _oval(0.40, 0.24, 0.05, 0.05)),
    )
