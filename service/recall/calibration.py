"""What a score of a route that is on no common scale is worth on the scale of cosines.

BM25 is no cosine, and neither is the closeness of two pictures. A curve says what such a score adds to an
item: a line through a few points, that rises. `mrse calibrate` fits the curves on held-out requests and
writes them beside the index, as ``<index>.calibration``; without that file the built-in ones count, which
were chosen on ESCI.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from common.errors import MrseError
from common.files import read_bounded, replacing
from service.recall.routes.outcome import Candidate, Item

FORMAT: Literal[1] = 1
#: Routes that search by the picture: what it is worth alone says little of what it is worth beside words.
#: Beside words a curve of their own counts, under the route's name with this behind it, or none.
BY_PICTURE = frozenset({"p2i"})
BESIDE_WORDS = "+text"
SUFFIX = ".calibration"
#: Bytes of a file; one with 16 points for each of 16 routes has a tenth of it.
_LARGEST = 64 * 1024
#: What a curve may add. Cosines are from -1 to 1, so that nothing can add more than from the last place to
#: the first.
_Worth = Annotated[float, Field(ge=0, le=4, allow_inf_nan=False)]
_Score = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]


class CalibrationError(MrseError):
    """A file of curves cannot be used; the message names it and says why."""


class Curve(BaseModel):
    """What a route's score is worth: a line through points ``(score, worth)``, flat beyond both ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: ``own``: the score as it is; ``top``: its share of the request's best score, for scores such as BM25
    #: whose size depends on the query.
    scale: Literal["own", "top"] = "own"
    points: tuple[tuple[_Score, _Worth], ...] = Field(min_length=2, max_length=16)

    @model_validator(mode="after")
    def _rises(self) -> Curve:
        for (x, y), (further, higher) in zip(self.points, self.points[1:], strict=False):
            if further <= x or higher < y:
                raise ValueError("the points of a curve go to the right and never down")
        return self

    @cached_property
    def _knots(self) -> list[float]:
        return [x for x, _ in self.points]

    def worth(self, score: float) -> float:
        """What a score on the curve's scale adds."""
        knots, points = self._knots, self.points
        place = bisect_right(knots, score)
        if place == 0:
            return points[0][1]
        if place == len(knots):
            return points[-1][1]
        (x, y), (further, higher) = points[place - 1], points[place]
        return y + (higher - y) * (score - x) / (further - x)

    def add(self, items: Mapping[str, Item], candidates: Sequence[Candidate], weight: float) -> None:
        """Add to each item of the route what its best score is worth, times the route's weight."""
        best: dict[str, float] = {}
        for item_id, _, source in candidates:
            score = source["score"]
            if score > best.get(item_id, -1e12):
                best[item_id] = score
        top = max(best.values(), default=0.0)
        scale = 1 / top if self.scale == "top" and top > 0 else 1.0
        for item_id, score in best.items():
            item = items[item_id]
            item["score"] = round(item["score"] + weight * self.worth(score * scale), 5)


class Calibration(BaseModel):
    """The curves of all routes that have one; others are on the scale of cosines by themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = FORMAT
    #: Of the bundle whose cosines the curves add to; None for the built-in ones.
    bundle: str | None = None
    #: By the names of the routes; those of `BY_PICTURE` have a curve without words, one beside them, or both.
    curves: Mapping[str, Curve] = Field(default_factory=dict, max_length=16)
    #: What it was fitted on and how good it was there, as `mrse calibrate` told it.
    fitted: Mapping[str, Any] = Field(default_factory=dict)

    @cached_property
    def version(self) -> str:
        """``built-in``, or eight hex digits of the content."""
        if self.bundle is None:
            return "built-in"
        content = orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
        return hashlib.blake2b(content, digest_size=4).hexdigest()

    def of(self, words: bool) -> Calibration:
        """The curves of requests with words, or of those without."""
        return self._beside_words if words else self

    @cached_property
    def _beside_words(self) -> Calibration:
        alone = {name: curve for name, curve in self.curves.items() if name not in BY_PICTURE}
        beside = {name: alone.pop(name + BESIDE_WORDS, None) for name in BY_PICTURE}
        curves = alone | {name: curve for name, curve in beside.items() if curve is not None}
        return self if curves == self.curves else Calibration(bundle=self.bundle, curves=curves)

    def write(self, path: Path) -> None:
        """Write the file; it takes its place whole."""
        with replacing(path, durable=True) as written:
            written.write_bytes(
                orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_INDENT_2) + b"\n"
            )

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Read a file.

        Raises:
            CalibrationError: it cannot be read, or holds something else.
            FileNotFoundError: it is not there.
        """
        try:
            content = orjson.loads(read_bounded(path, _LARGEST))
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            raise CalibrationError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
        found = content.get("format") if isinstance(content, dict) else None
        if isinstance(found, int) and found > FORMAT:
            raise CalibrationError(
                f"{path} has format {found}, and this version reads up to {FORMAT}: a newer mrse wrote it; "
                "upgrade, or run `mrse calibrate` again"
            )
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise CalibrationError(f"{path}: {where}: {first['msg']}") from error


def beside(index: Path) -> Path:
    """Where the calibration of an index stands: ``index.calibration`` beside the folder ``index``."""
    return index.with_name(index.name + SUFFIX)


def calibration_of(index: Path, bundle_version: str) -> Calibration:
    """The curves beside an index, or the built-in ones where there is no file.

    Raises:
        CalibrationError: the file cannot be used, or is of another bundle.
    """
    path = beside(index)
    try:
        found = Calibration.read(path)
    except FileNotFoundError:
        return BUILT_IN
    if found.bundle != bundle_version:
        raise CalibrationError(
            f"{path} was fitted with bundle {found.bundle}, and the index is of {bundle_version}: run `mrse "
            "calibrate` again, or remove the file, for the built-in curves"
        )
    return found


def carry(before: Path, index: Path) -> bool:
    """Give an index of the same bundle the curves of the one before it; whether there are any.

    What a curve adds is to cosines, which are the bundle's: items that came and went change them little.
    """
    try:
        found = Calibration.read(beside(before))
    except (FileNotFoundError, CalibrationError):
        return False  # nobody fitted any, or they cannot be used: then a service would not have started
    found.write(beside(index))
    return True


#: *Inferred*, the best of fourteen on the first fold of ESCI (`benchmarks.esci`) beside trained towers. With
#: towers that took no step, nDCG@10 of all 599 queries is 0.804, of the towers alone 0.787; of the difference
#: 95%: 0.006 to 0.030. Reciprocal ranks come to 0.784. On the synthetic shop it loses 0.013. So
#: `mrse calibrate` is for every shop that turns the route on.
BUILT_IN = Calibration(
    curves={
        "lexical": Curve(scale="top", points=((0.0, 0.0), (0.5, 0.0), (1.0, 0.1))),
    }
)
