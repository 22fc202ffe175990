"""Team-draft interleaving: teams take turns to pick their best item that nobody has picked yet.

In each round every team picks once, in an order that is drawn anew, so that no team has better places than
another. Whose clicks are more then tells whose ranking is liked better, with far fewer requests than an
experiment by arms needs (Radlinski, Kurup and Joachims, 2008). The draws depend on the seed alone.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence

from service.recall.routes.outcome import Item, Source


def team_draft(
    teams: Mapping[str, Sequence[Item]], sources: Mapping[str, list[Source]], seed: str
) -> list[Item]:
    """All items of all teams, each once, in the order of the draft.

    Args:
        teams: by name, each with its items, best first.
        sources: of each item, by its id.
        seed: of the draws; the same seed and teams give the same draft.

    Returns:
        Items with ``team``, who picked it, and the score ``1 / place``.
    """
    digest = hashlib.blake2b(seed.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    draw = random.Random(int.from_bytes(digest, "big"))
    names = sorted(teams)
    waiting = {name: iter(teams[name]) for name in names}
    picked: dict[str, Item] = {}
    while names:
        draw.shuffle(names)
        for name in tuple(names):
            item = next((each for each in waiting[name] if each["item_id"] not in picked), None)
            if item is None:
                names.remove(name)
                continue
            item_id = item["item_id"]
            score = round(1 / (len(picked) + 1), 6)
            picked[item_id] = {"item_id": item_id, "score": score, "sources": sources[item_id], "team": name}
    return list(picked.values())
