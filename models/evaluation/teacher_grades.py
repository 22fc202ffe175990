"""Grades by the relevance teacher of a run, for shops that have no labels (`models.training.teacher`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from artifacts.bundle.text import normalise
from artifacts.shop.shop import Shop
from common.arrays import F32, I64
from models.evaluation.answers import GRADED, Answers

#: Grades of pairs: texts, rows of them and items of the shop's order, int64 ``[n]`` each -> float32 ``[n]``.
GradeTexts = Callable[[list[str], I64, I64], F32]


class TeacherGrades:
    """Grades of what any of the systems answered among its first `GRADED`; all else counts as 0.

    A cross-encoder is too slow for a whole catalogue, so what is graded is pooled from all systems that are
    compared, as in TREC: none gains by answers that only another one's were graded of. Queries of words alone
    are known; a picture is not read.

    Args:
        grade: the teacher.
        rows: int64 ``[N]``, the place in the shop's order of each row of the catalogue.
    """

    source = "teacher"

    def __init__(self, grade: GradeTexts, rows: I64) -> None:
        self._grade, self._rows = grade, rows
        self._known: dict[str, tuple[I64, F32]] = {}

    @classmethod
    def open(cls, run: Path, shop: Shop, rows: dict[str, int]) -> TeacherGrades:
        """The teacher of a run, over the rows of a catalogue of the same shop.

        Raises:
            TeacherError: the run has no teacher, or is of another shop.
        """
        # Here, because it imports torch, which nothing else in an evaluation needs.
        from models.training.teacher import load_teacher

        teacher = load_teacher(run, shop.fingerprint())
        places = np.zeros(len(rows), dtype=np.int64)
        for place, item in enumerate(shop.items()):
            if item.id in rows:
                places[rows[item.id]] = place
        return cls(teacher.grade_texts, places)

    def judge(self, systems: Sequence[Answers]) -> None:
        """Grade what some systems answered to the same requests."""
        pools: dict[str, set[int]] = {}
        for place, request in enumerate(systems[0].held_out.requests if systems else ()):
            if request.kind == "text":
                pool = pools.setdefault(normalise(request.event.query), set())
                for system in systems:
                    pool.update(system.top[place, :GRADED].tolist())
        texts = list(pools)
        items = [np.array(sorted(pool - {-1}), dtype=np.int64) for pool in pools.values()]
        query = np.repeat(np.arange(len(texts)), [len(found) for found in items])
        every = np.concatenate([*items, np.zeros(0, np.int64)])
        grades = self._grade(texts, query, self._rows[every]) if len(every) else np.zeros(0, np.float32)
        ends = np.cumsum([len(found) for found in items])[:-1]
        split = np.split(grades, ends) if texts else []
        self._known = dict(zip(texts, zip(items, split, strict=True), strict=True))

    def catalogue_grades(self, query: str, picture: str | None) -> F32 | None:
        """See `Grades`; None before `judge`."""
        known = self._known.get(normalise(query)) if picture is None else None
        if known is None:
            return None
        result = np.zeros(len(self._rows), dtype=np.float32)
        result[known[0]] = known[1]
        return result
