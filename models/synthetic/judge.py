"""The judge: grades how well an item answers a query of a synthetic shop, from the ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.arrays import F32, I64
from models.synthetic.attributes import PICTURE_ONLY, TEXT_ONLY, Codes, asked, grade
from models.synthetic.behaviour import TASTE
from models.synthetic.catalogue import Catalogue
from models.synthetic.parse import normalise, parse
from models.synthetic.recipe import Recipe
from models.synthetic.truth import QueryTable, read_items, read_queries, read_users
from models.synthetic.users import MODALITIES, Users, affinity, user_id

#: Share of the relevance that an item loses which a user does not like at all; *inferred*.
TASTE_WEIGHT = 0.6


class UnknownQueryError(ValueError):
    """The query is not in the shop's log and has no word that the judge knows."""


class Judge:
    """Graded relevance, slices and tastes. Immutable after `open`; about 100 bytes an item."""

    def __init__(self, catalogue: Catalogue, users: Users, queries: QueryTable, taste: float = 1.0) -> None:
        self._taste = TASTE * taste
        self._catalogue = catalogue
        self._users = users
        self._queries = queries
        self._query_row = {
            (normalise(query), picture): row
            for row, (query, picture) in enumerate(zip(queries.queries, queries.pictures, strict=True))
        }

    @classmethod
    def open(cls, path: Path) -> Judge:
        """Read the ground truth that `make_shop` wrote into a shop's folder.

        Raises:
            FileNotFoundError: the folder is of no synthetic shop.
        """
        recipe = Recipe.read(path)
        taste = 1.0 if recipe is None else recipe.dials.taste
        return cls(read_items(path), read_users(path), read_queries(path), taste)

    def all_relevances(self, query: str, picture: str | None = None) -> F32:
        """Grades of the whole catalogue for a query, float32 ``[items]``, 0 to 1; row n is item n.

        1 = everything asked for matches; between 0 and `RELEVANT` = the category or part of the rest does;
        0 = another category. Tastes do not count. The empty query asks for nothing: all items get 1.

        Args:
            query: raw text; queries that are not in the log are read by their words.
            picture: ``picture`` of the event, for queries with one.

        Raises:
            UnknownQueryError: no such query or picture, and no known word in it.
        """
        return grade(self._intent(query, picture)[:, None], self._catalogue.codes)

    def taste_relevances(
        self, user: str, query: str, item_ids: Sequence[str], picture: str | None = None
    ) -> F32:
        """Relevance times ``1 - TASTE_WEIGHT x strength x (1 - affinity)``: float32 ``[len(item_ids)]``.

        For users without taste it is the relevance itself. Errors as for `all_relevances`, and KeyError for
        an unknown user or item.
        """
        row = np.array(self._user_row(user))
        items = self.rows(item_ids)
        unliked = 1 - affinity(self._users, row, self._catalogue, items)
        relevance = grade(self._intent(query, picture)[:, None], self._catalogue.codes[:, items])
        return np.asarray(
            relevance * (1 - TASTE_WEIGHT * self._users.strength[row] * unliked), dtype=np.float32
        )

    def liking(self, user: str) -> F32:
        """What a user's taste adds to the logarithm of the chance of a click: float32 ``[items]``.

        Raises:
            KeyError: there is no such user.
        """
        row = self._user_row(user)
        every = np.arange(self._catalogue.size)
        liked = affinity(self._users, np.array(row), self._catalogue, every)
        return np.asarray(self._taste * self._users.strength[row] * liked, dtype=np.float32)

    def intents(self, query: str, picture: str | None = None) -> dict[str, str]:
        """The attributes that a query asks for, with their values, as in ``{"pattern": "stripes"}``."""
        return asked(self._intent(query, picture))

    def slices(self, query: str, picture: str | None = None) -> frozenset[str]:
        """Names of the groups that a query belongs to, for evaluation by slice.

        Names of the attributes asked; ``picture_only`` where one of them is shown by pictures alone,
        ``text_only`` likewise; for queries of the log also head, torso or tail, ``kind:...``, ``typo``,
        ``synonym``, and ``with_picture``.
        """
        names = set(self.intents(query, picture))
        names |= {"picture_only"} if names & PICTURE_ONLY else set()
        names |= {"text_only"} if names & TEXT_ONLY else set()
        names |= {"with_picture"} if picture is not None else set()
        row = self._query_row.get((normalise(query), picture))
        if row is not None:
            names |= {self._queries.bands[row], f"kind:{self._queries.kinds[row]}"}
            names |= {"typo"} if self._queries.typo[row] else set()
            names |= {"synonym"} if self._queries.synonym[row] else set()
        return frozenset(names)

    def taste(self, user: str) -> tuple[str, float]:
        """A user's modality and strength of taste, 0 for none at all; KeyError for an unknown user."""
        row = self._user_row(user)
        return MODALITIES[self._users.modality[row]], float(self._users.strength[row])

    def rows(self, item_ids: Sequence[str]) -> I64:
        """Places of items in `all_relevances`, int64 ``[len(item_ids)]``. Raises KeyError."""
        rows = np.fromiter((_number(name, "i") for name in item_ids), dtype=np.int64, count=len(item_ids))
        unknown = np.flatnonzero((rows < 0) | (rows >= self._catalogue.size))
        if len(unknown):
            raise KeyError(item_ids[int(unknown[0])])
        return rows

    def _user_row(self, user: str) -> int:
        row = _number(user, "u")
        if not 0 <= row < self._users.size or user_id(row) != user:
            raise KeyError(user)
        return row

    def _intent(self, query: str, picture: str | None) -> Codes:
        row = self._query_row.get((normalise(query), picture))
        if row is not None:
            return self._queries.intents[:, row]
        if picture is not None:
            raise UnknownQueryError(
                f"no search with the picture {picture!r} and the text {query!r} in the log"
            )
        intent = parse(query)
        if intent is None:
            raise UnknownQueryError(f"no known word in the query {query!r}")
        return intent


def _number(name: str, letter: str) -> int:
    """Row of an id such as ``i0000042``; -1 where it is none."""
    digits = name[1:]
    return int(digits) if name[:1] == letter and digits.isascii() and digits.isdigit() else -1
