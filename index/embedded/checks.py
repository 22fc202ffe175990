"""Checks changes against what an index holds, and puts what they say as it is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from artifacts.attributes import CATEGORY, MAX_ID_BYTES, too_large
from artifacts.embeddings import LENGTH_TOLERANCE
from artifacts.words import ITEM_TEXTS, MAX_CHARACTERS, attribute_texts
from common.arrays import F16
from index.changes import ChangeRefused, ItemPut, ItemUpdate
from index.embedded.manifest import IndexManifest
from index.embedded.records import Put
from index.filters import FilterError, any_of

#: Up to here float64 holds each whole number.
_LARGEST = 2**53


class Checker:
    """Checks changes against what an index holds."""

    def __init__(self, manifest: IndexManifest) -> None:
        self._manifest = manifest
        self._dim = manifest.dim
        self._shape = (manifest.experts, manifest.expert_dim)
        self._kinds = manifest.attributes
        self._texts = () if manifest.texts is None else manifest.texts.fields
        self._picture_dim = manifest.picture_dim

    def fits(self, manifest: IndexManifest) -> bool:
        """Whether it checks by this manifest."""
        return self._manifest is manifest

    def put(self, item: ItemPut) -> Put:
        """A whole item.

        Raises:
            ChangeRefused: it does not fit.
        """
        _check_id(item.id)
        vector = np.asarray(item.vector, dtype=np.float32)
        if vector.shape != (self._dim,):
            raise ChangeRefused(item.id, f"its vector has shape {vector.shape}, expected ({self._dim},)")
        length = float(np.linalg.norm(vector))
        if not abs(length - 1) <= LENGTH_TOLERANCE:
            raise ChangeRefused(item.id, f"its vector has length {length:.3f}, expected 1")
        given = np.zeros(self._shape, np.float16) if item.features is None else np.asarray(item.features)
        with np.errstate(over="ignore"):  # what is too large for a half is refused below
            features = given.astype(np.float16)
        if features.shape != self._shape or not np.isfinite(features).all():
            found = f"shape {features.shape}"
            raise ChangeRefused(item.id, f"its features have {found}, expected finite values {self._shape}")
        attributes = self.described(item.id, item.category, item.attributes)
        texts = self._checked_texts(item.id, {CATEGORY: item.category}, item.attributes, item.texts)
        picture = self._picture(item) if self._picture_dim else None
        return Put(item.id, vector.astype(np.float16), features, attributes, filled(texts), picture)

    def described(self, item_id: str, category: str, attributes: Mapping[str, object]) -> dict[str, Any]:
        """What an item is found and filtered by beside its vectors, as it is kept.

        Raises:
            ChangeRefused: it does not fit.
        """
        _check_id(item_id)
        described = {CATEGORY: _checked(item_id, CATEGORY, "string", category)}
        self._checked_texts(item_id, {CATEGORY: category}, attributes, {})
        return present({**described, **self._checked(item_id, attributes)})

    def _picture(self, item: ItemPut) -> F16 | None:
        if item.picture is None:
            return None
        picture = np.asarray(item.picture, dtype=np.float32)
        if picture.shape != (self._picture_dim,):
            expected = f"expected ({self._picture_dim},)"
            raise ChangeRefused(item.id, f"its picture feature has shape {picture.shape}, {expected}")
        length = float(np.linalg.norm(picture))
        if not abs(length - 1) <= LENGTH_TOLERANCE:
            raise ChangeRefused(item.id, f"its picture feature has length {length:.3f}, expected 1")
        return picture.astype(np.float16)

    def update(self, update: ItemUpdate) -> ItemUpdate:
        """Some attributes of an item, as they are kept.

        Raises:
            ChangeRefused: they do not fit.
        """
        _check_id(update.id)
        category = update.category
        if category is not None:
            category = _checked(update.id, CATEGORY, "string", category)
        attributes = self._checked(update.id, update.attributes)
        told = {} if category is None else {CATEGORY: category}
        texts = self._checked_texts(update.id, told, update.attributes, update.texts)
        return ItemUpdate(update.id, attributes, category, texts)

    def _checked_texts(
        self,
        item_id: str,
        category: Mapping[str, str],
        attributes: Mapping[str, object],
        given: Mapping[str, str],
    ) -> dict[str, str]:
        """The texts that the index reads: of category and attributes, unless others are to stand for them.

        An index without texts reads none.
        """
        texts = {**category, **attribute_texts(self._texts, attributes), **given}
        for name, text in texts.items() if self._texts else ():
            if name not in self._texts and name not in ITEM_TEXTS:
                known = ", ".join(self._texts)
                raise ChangeRefused(
                    item_id, f"{name!r} is no text field of this index; its fields are {known}"
                )
            if reason := _unreadable(text):
                raise ChangeRefused(item_id, f"its text {name} {reason}")
        return {name: text for name, text in texts.items() if name in self._texts}

    def _checked(self, item_id: str, attributes: Mapping[str, object]) -> dict[str, Any]:
        checked: dict[str, Any] = {}
        for name, value in attributes.items():
            if name not in self._kinds or name == CATEGORY:
                raise ChangeRefused(item_id, f"{name!r} is no attribute of this index")
            checked[name] = None if value is None else _checked(item_id, name, self._kinds[name], value)
        return checked


def present(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Without those that are missing."""
    return {name: value for name, value in attributes.items() if value is not None}


def filled(texts: Mapping[str, str]) -> dict[str, str]:
    """Without those that are empty."""
    return {name: text for name, text in texts.items() if text}


def _unreadable(text: object) -> str | None:
    """Why a text cannot be kept; None where it can."""
    if not isinstance(text, str):
        return f"is no string; got {str(text)[:40]!r}"
    if len(text) > MAX_CHARACTERS:
        return f"has {len(text)} characters; at most {MAX_CHARACTERS} are allowed"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "has half a surrogate pair"
    return None


def _check_id(item_id: object) -> None:
    if not isinstance(item_id, str) or not item_id:
        raise ChangeRefused(str(item_id), "an id is a string that is not empty")
    try:
        size = len(item_id.encode())
    except UnicodeEncodeError:
        raise ChangeRefused(item_id, "its id has half a surrogate pair") from None
    if size > MAX_ID_BYTES:
        raise ChangeRefused(item_id, f"its id has {size} bytes; at most {MAX_ID_BYTES} are allowed")


def _checked(item_id: str, name: str, kind: str, value: object) -> Any:
    """An attribute's value as it is kept: an item may hold what a filter may ask for.

    Numbers are kept as float64, in the log as in the base. Those of which float64 does not hold each are
    refused: kept, the item might have another value than it was given.
    """
    values = value if kind == "list" else [value]
    refused = f"{name} is a {kind}; got {str(value)[:40]!r}"
    if not isinstance(values, list | tuple):
        raise ChangeRefused(item_id, refused)
    if reason := too_large(name, values):
        raise ChangeRefused(item_id, f"{name} {reason}")
    if kind == "number" and isinstance(value, int | float) and _LARGEST < abs(value) < math.inf:
        raise ChangeRefused(item_id, f"{name} is a number beyond 2^53, where float64 does not hold each")
    try:
        any_of(name, kind, values)
    except FilterError:
        raise ChangeRefused(item_id, refused) from None
    if isinstance(value, int | float) and kind == "number":
        return float(value)
    return list(values) if kind == "list" else value
