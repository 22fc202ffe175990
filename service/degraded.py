"""The words of ``degraded``: each way in which an answer is less than what was asked for."""

from __future__ import annotations

from collections.abc import Mapping

from service.recall.routes import ROUTES

_ALWAYS = {
    "fewer_candidates": "Under load fewer items were looked for than k.",
    "no_portrait": "Under load the user's history was left out.",
    "history_unknown": "No item of the user's history is known, so the answer is not personal.",
    "history_unavailable": "The items of the user's history could not be looked up, so the answer is not "
    "personal.",
    "portrait_unavailable": "The user's stored history could not be read; whether there is one is not known. "
    "The answer is not personal.",
    "picture_skipped": "The picture could not be looked at now; the answer is to the words alone.",
    "controls_unavailable": "Attributes of items could not be read, or not of all. Boosts, limits, pins or "
    "fields are left out where they are not known; bans hold.",
    "diversity_short": "With the limit on items of one value there are fewer than k; there may be more, "
    "which a wider search would find.",
    "popular_instead": "There are no words, no picture and no history that is known; the items are what is "
    "popular, and not personal.",
    "nothing_to_search_by": "No route could search: there are no words, no picture and no history that is "
    "known, or the routes that could are turned off. The answer is empty.",
}
_OF_A_ROUTE = {
    "no_{}": "Under load the route {} was left out.",
    "{}_timeout": "The route {} ran out of time, so its items are missing.",
    "{}_error": "The route {} failed, so its items are missing.",
    "{}_coverage": "The route {} looked at a part of the index only; better items may be missing.",
}


def degraded_words() -> Mapping[str, str]:
    """Each word with its sentence, those of the routes that are registered among them."""
    of_routes = {
        word.format(route): sentence.format(route)
        for route in ROUTES
        for word, sentence in _OF_A_ROUTE.items()
    }
    return _ALWAYS | of_routes


def told(words: Mapping[str, str]) -> str:
    """The words and sentences as a list in Markdown."""
    return "\n".join(f"- `{word}`: {sentence}" for word, sentence in words.items())
