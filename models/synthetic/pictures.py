"""Draws product pictures: shape by category, colour, pattern, logo.

A picture is decided by its look (the four codes), a variant number and the shop's seed. Variants of one
look differ by place, scale, tilt, mirror, background and size; look-alike items share `VARIANTS` of
them, so a shop has at most 20 x 12 x 7 x 9 x 4 = 60,480 product pictures at any number of items.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from common.arrays import F64
from models.synthetic.lexicon import PATTERNS
from models.synthetic.silhouettes import Point, silhouettes

#: Pictures that look-alike items share.
VARIANTS = 4
#: Variant numbers from here on are photos that users search with: more jitter, darker backgrounds.
QUERY_VARIANT = 1000
SIDES = (64, 72, 80, 96)
#: Drawn at this multiple, then averaged down.
_OVERSAMPLE = 2
_TILE = 512

_RGB = (
    (206, 32, 40), (245, 130, 20), (250, 214, 30),
    (40, 150, 60), (40, 200, 190), (30, 80, 210), (120, 50, 170),
    (250, 130, 185), (120, 72, 35), (28, 28, 32), (250, 250, 248), (135, 138, 142),
)  # fmt: skip
#: Colours whose pattern is drawn dark, since white would not show: yellow, turquoise, pink, white.
_DARK_PATTERN = frozenset({2, 4, 7, 10})
_INK = (24, 24, 30)
#: Pictures whose product stands on something.
_FLOOR_SHARE, _FLOOR_SHARE_OF_PHOTOS = 0.3, 0.8


@dataclass(frozen=True, slots=True)
class Look:
    """What a picture shows, as codes."""

    category: int
    colour: int
    pattern: int
    logo: int


def draw_picture(look: Look, variant: int, seed: int) -> bytes:
    """The JPEG of a look, 64 to 96 pixels square; the same bytes for the same arguments."""
    rng = np.random.default_rng([seed, look.category, look.colour, look.pattern, look.logo, variant])
    photo = variant >= QUERY_VARIANT
    u = rng.random(15)
    side = SIDES[int(u[0] * len(SIDES))]
    edge = side * _OVERSAMPLE
    place = _Placement.draw(u, edge, photo)
    ground = _ground(u[6:9], photo)
    light = (0.88 + 0.22 * float(u[9])) if photo else (0.94 + 0.12 * float(u[9]))
    colour = _scaled(_RGB[look.colour], light)

    image = Image.new("RGB", (edge, edge), ground)
    if u[12] < (_FLOOR_SHARE_OF_PHOTOS if photo else _FLOOR_SHARE):
        left, right = edge * (0.55 + 0.35 * u[13]), edge * (0.55 + 0.35 * u[14])
        floor = [(0, left), (edge, right), (edge, edge), (0, edge)]
        ImageDraw.Draw(image).polygon(floor, fill=_scaled(ground, 0.9))
    clean = image.copy()
    cloth = _cloth(look, colour, u, edge)
    dark = _scaled(colour, 0.55) if look.colour != 9 else (70, 70, 78)
    for role, outline in silhouettes()[look.category].parts:
        points = [place.point(x, y) for x, y in outline]
        if role == "trim":
            ImageDraw.Draw(image).polygon(points, fill=dark)
            continue
        mask = Image.new("L", (edge, edge), 0)
        ImageDraw.Draw(mask).polygon(points, fill=255)
        image.paste(cloth if role == "body" else clean, mask=mask)
        ImageDraw.Draw(image).line([*points, points[0]], fill=dark, width=_OVERSAMPLE)
    if look.logo:
        _logo(image, look, place)
    small = image.reduce(_OVERSAMPLE)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=84, subsampling=0)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class _Placement:
    """From the unit square to pixels: mirror, scale, tilt, shift."""

    xx: float
    xy: float
    yx: float
    yy: float
    x: float
    y: float
    scale: float

    @classmethod
    def draw(cls, u: F64, edge: int, photo: bool) -> _Placement:
        tilt = math.radians((14 if photo else 8) * (2 * u[1] - 1))
        scale = edge * ((0.72 if photo else 0.80) + 0.16 * u[2])
        shift = edge * (0.06 if photo else 0.03)
        mirror = -1 if u[5] < 0.5 else 1
        cos, sin = math.cos(tilt) * scale, math.sin(tilt) * scale
        centre = edge / 2
        return cls(
            mirror * cos, -sin, mirror * sin, cos,
            float(centre + shift * (2 * u[3] - 1)), float(centre + shift * (2 * u[4] - 1)), float(scale),
        )  # fmt: skip

    def point(self, x: float, y: float) -> Point:
        x, y = x - 0.5, y - 0.5
        return self.xx * x + self.xy * y + self.x, self.yx * x + self.yy * y + self.y


def _ground(u: F64, photo: bool) -> tuple[int, int, int]:
    """A light, greyish background; darker and more tinted ones for photos, though the ranges overlap."""
    grey = (190 if photo else 205) + (42 if photo else 40) * float(u[0])
    tint = 14 if photo else 10
    warm, green = (tint * (2 * float(v) - 1) for v in u[1:3])
    return round(grey + warm), round(grey + green), round(grey - warm)


def _scaled(rgb: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    red, green, blue = (min(255, round(channel * factor)) for channel in rgb)
    return red, green, blue


def _cloth(look: Look, colour: tuple[int, int, int], u: F64, edge: int) -> Image.Image:
    """The colour with the pattern, as large as the picture."""
    plain = Image.new("RGB", (edge, edge), colour)
    name = PATTERNS[look.pattern].name
    if name == "plain":
        return plain
    second = _scaled(colour, 0.42) if look.colour in _DARK_PATTERN else (250, 250, 248)
    if name == "gradient":
        mask = Image.linear_gradient("L").resize((edge, edge))
        mask = mask.point([max(0, min(255, int((v - 50) * 1.65))) for v in range(256)])
    else:
        left, top = (int(v * (_TILE - 4 * edge // 3 - 1)) for v in u[10:12])
        # Tiles are drawn for pictures of 128 pixels: cut so that the pattern keeps its share of the picture.
        cut = 128 if edge <= 160 else 144
        mask = _tile(name).crop((left, top, left + cut, top + cut)).resize((edge, edge))
    return Image.composite(Image.new("RGB", (edge, edge), second), plain, mask)


@cache
def _tile(name: str) -> Image.Image:
    """A ``_TILE`` x ``_TILE`` mask of a pattern, 255 where the second colour goes."""
    y, x = np.mgrid[0:_TILE, 0:_TILE]
    if name == "stripes":
        on = (y % 20) < 9
    elif name == "dots":
        odd = (y // 20) % 2
        on = ((x + 10 * odd) % 20 - 10) ** 2 + (y % 20 - 10) ** 2 < 42
    elif name == "checks":
        on = ((x // 13) + (y // 13)) % 2 == 0
    elif name == "zigzag":
        on = (y + np.abs(x % 28 - 14)) % 24 < 9
    else:
        # Smooth noise over a coarse grid, cut at its middle: blobs. Always the same tile.
        coarse = np.random.default_rng(5).random((44, 44), dtype=np.float32)
        blobs = Image.fromarray((coarse * 255).astype(np.uint8))
        on = np.asarray(blobs.resize((_TILE, _TILE), Image.Resampling.BICUBIC)) > 138
    return Image.fromarray((on * 255).astype(np.uint8))


def _logo(image: Image.Image, look: Look, place: _Placement) -> None:
    x, y, radius = silhouettes()[look.category].logo
    cx, cy = place.point(x, y)
    r = radius * place.scale
    draw = ImageDraw.Draw(image)
    draw.circle((cx, cy), r, fill=(252, 252, 250), outline=_INK, width=_OVERSAMPLE)
    inner = r * 0.78
    if look.logo == 6:
        draw.circle((cx, cy), inner, fill=_INK)
        draw.circle((cx, cy), inner * 0.5, fill=(252, 252, 250))
        return
    draw.polygon([(cx + inner * gx, cy + inner * gy) for gx, gy in _glyph(look.logo)], fill=_INK)


@cache
def _glyph(logo: int) -> tuple[Point, ...]:
    """Outline of a glyph within the unit circle; upright, logos are neither mirrored nor tilted."""
    if logo == 1:
        spikes = [(0.42 if k % 2 else 1.0, math.radians(36 * k - 90)) for k in range(10)]
        return tuple((r * math.cos(a), r * math.sin(a)) for r, a in spikes)
    if logo == 2:
        turn = [math.radians(a) for a in range(0, 360, 15)]
        return tuple(
            (0.06 * 16 * math.sin(a) ** 3 * 0.95,
             -0.06 * (13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)) * 0.95)
            for a in turn
        )  # fmt: skip
    if logo == 3:
        outer = [math.radians(a) for a in range(40, 321, 14)]
        inner = [math.radians(a) for a in range(300, 59, -14)]
        return (
            *((0.95 * math.cos(a), 0.95 * math.sin(a)) for a in outer),
            *((0.32 + 0.72 * math.cos(a), 0.72 * math.sin(a)) for a in inner),
        )
    return {
        4: ((0.25, -1.0), (-0.6, 0.15), (-0.05, 0.15), (-0.3, 1.0), (0.6, -0.25), (0.05, -0.25)),
        5: (
            (-0.28, -0.95), (0.28, -0.95), (0.28, -0.28),
            (0.95, -0.28), (0.95, 0.28), (0.28, 0.28), (0.28, 0.95),
            (-0.28, 0.95), (-0.28, 0.28), (-0.95, 0.28), (-0.95, -0.28), (-0.28, -0.28),
        ),
        7: ((0.0, -0.95), (0.95, 0.7), (-0.95, 0.7)),
        8: ((-0.9, 0.65), (-0.9, -0.6), (-0.42, 0.0), (0.0, -0.85), (0.42, 0.0), (0.9, -0.6), (0.9, 0.65)),
    }[logo]  # fmt: skip
