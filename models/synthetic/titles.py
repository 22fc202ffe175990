"""Writes what an item's page says: title and description.

Colour stands in about half of the titles, the category's noun in nine of ten, brand, model and material
in all. Pattern and logo stand in none, nor in any description: only the picture shows them.
"""

from __future__ import annotations

import numpy as np

from models.synthetic import lexicon
from models.synthetic.attributes import BRAND, CATEGORY, COLOUR, MATERIAL, MODEL, Codes

COLOUR_SHARE = 0.5
NOUN_SHARE = 0.9
DESCRIPTION_SHARE = 0.35

_TEMPLATES = (
    "{brand} {model} {material} {noun} {colour} {size}",
    "{brand} {colour} {noun} {model} {material} {size}",
    "{noun} {brand} {model}, {material}, {colour} {size}",
    "{colour} {material} {noun} by {brand} {model} {size}",
    "{brand} {model} {noun} - {material} {colour} {size}",
    "{extra} {brand} {material} {noun} {model} {colour} {size}",
)
_EXTRAS = ("New", "Classic", "Premium", "Original", "Everyday", "Best price", "2026 edition")
_DESCRIPTIONS = (
    "{noun} of {material} by {brand}. Made to last.",
    "The {model} by {brand}: light, simple and easy to care for.",
    "A fine gift. {material}, designed by {brand}, shipped in a day.",
    "{brand} {model}. Hand wash. Two years of warranty.",
)


def write_texts(codes: Codes, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Titles and descriptions of items.

    Args:
        codes: int16 ``[8, n]``.
        rng: drawn from the same number of times whatever the items are.

    Returns:
        ``n`` titles and ``n`` descriptions; many descriptions are empty.
    """
    draws = rng.random((codes.shape[1], 9)).tolist()
    titles, descriptions = [], []
    for category, colour, brand, material, model, u in zip(
        codes[CATEGORY].tolist(), codes[COLOUR].tolist(), codes[BRAND].tolist(), codes[MATERIAL].tolist(),
        codes[MODEL].tolist(), draws, strict=True,
    ):  # fmt: skip
        leaf = lexicon.CATEGORIES[category]
        words = {
            "brand": lexicon.BRANDS[brand],
            "model": lexicon.MODELS[model],
            "material": lexicon.MATERIALS[material],
            "noun": _usual(leaf.nouns, u[0]) if u[1] < NOUN_SHARE else "",
            "colour": _usual(lexicon.COLOURS[colour].words, u[2]) if u[3] < COLOUR_SHARE else "",
            "size": _pick(leaf.sizes, u[4]) if leaf.sizes else "",
            "extra": _pick(_EXTRAS, u[5]),
        }
        titles.append(_tidy(_pick(_TEMPLATES, u[6]).format_map(words)))
        if u[7] < DESCRIPTION_SHARE:
            words["noun"] = leaf.nouns[0]
            descriptions.append(_tidy(_pick(_DESCRIPTIONS, u[8]).format_map(words)))
        else:
            descriptions.append("")
    return titles, descriptions


def _pick(values: tuple[str, ...], u: float) -> str:
    return values[int(u * len(values))]


def _usual(values: tuple[str, ...], u: float) -> str:
    """The first word in six cases of ten, else one of the others."""
    return values[0] if u < 0.6 or len(values) == 1 else values[1 + int((u - 0.6) / 0.4 * (len(values) - 1))]


def _tidy(text: str) -> str:
    """Single spaces, no dangling punctuation, a capital first."""
    text = " ".join(text.split()).replace(" ,", ",").replace(", ,", ",").strip(" ,-")
    return text[:1].upper() + text[1:]
