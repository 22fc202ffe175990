"""Team-draft interleaving: whose items users chose, where one answer had items of several teams.

Every outcome is credited to the team that picked its item (Radlinski, Kurup and Joachims, 2008); two teams
are compared by the answers that had items of both. A unit prefers the team with more of its outcomes, and
counts once, however much it clicked. The units that prefer one of the two are counted: half of them would
prefer either if the rankings were of equal worth (a sign test, with Wilson's interval around the share).
Several teams make several pairs, and each pair is one more chance to be wrong: what decides holds for all
pairs of a kind of outcome at once (Bonferroni).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from common.arrays import I64, Bool
from models.evaluation.statistics import UNKNOWN, Interval
from models.experiment.exposures import Exposures, taking_part
from models.experiment.outcomes import KINDS, Outcomes
from models.experiment.statistics import NORMAL, Z, always_half_width

#: Units with a preference below which nothing is said; *inferred*.
LEAST_PREFERRING = 20
#: The distance from one half at which the interval that holds at every look is narrowest; *inferred*.
PLANNED = 0.05
#: Units with a preference above which the sign test is that of the normal curve; it differs by 1e-3 at most.
_EXACT = 2000


@dataclass(frozen=True)
class Preference:
    """One team against another, by one kind of outcome.

    Attributes:
        kind: ``click``, ``cart`` or ``order``.
        first, second: the teams.
        credits: outcomes of the first's and of the second's items, in answers that had items of both.
        units: that prefer the first, that prefer the second, that chose as much of either.
        share: of the units with a preference, that prefer the first; of this pair, at one look.
        always: the same, holding at every look and for all pairs at once.
        p: of the two-sided sign test, at one look, for all pairs at once.
        preferred: the team that is surely preferred, by ``always``; None where that is not known yet.
    """

    kind: str
    first: str
    second: str
    credits: tuple[int, int]
    units: tuple[int, int, int]
    share: Interval
    always: Interval
    p: float
    preferred: str | None


@dataclass(frozen=True)
class Interleaved:
    """What came of the answers whose items were drafted by teams.

    Attributes:
        teams: by name.
        answers, units: that were interleaved, and that got such an answer.
        uncredited: outcomes of these units that no team is credited with, since they name no item, or one
            that no answer before them showed.
        preferences: by kind, then by pair; of pairs that had items in one answer.
    """

    teams: list[str]
    answers: int
    units: int
    uncredited: int
    preferences: list[Preference]


def interleaved(path: Path, seen: Exposures, did: Outcomes, since: float, window_s: float) -> Interleaved:
    """Credit the outcomes to teams: reads the log once more, and keeps of it what outcomes are about.

    An outcome belongs to the answer that its ``query_id`` names, else to the unit's last answer before it
    that showed the item; in either case it comes no later than ``window_s`` after the answer.

    Args:
        path, since: as `read_exposures` got them.
        seen: what it read.
        did: the outcomes, with their items.
        window_s: seconds.
    """
    by_request: dict[str, list[int]] = {}
    by_client: dict[int, dict[str, list[int]]] = {}
    for place, (asked, item) in enumerate(zip(did.request, did.item, strict=True)):
        if item is None:
            continue
        if asked is not None and asked in seen.requests:
            by_request.setdefault(asked, []).append(place)
        else:
            by_client.setdefault(int(did.client[place]), {}).setdefault(item, []).append(place)
    teams: dict[str, int] = {}
    credited = np.full(len(did.client), -1, np.int64)
    beside = np.full(len(did.client), -1, np.int64)  # the teams that had items in the answer, by `drafts`
    drafts: dict[frozenset[str], int] = {}
    answered = np.full(len(did.client), -math.inf)
    clients: set[int] = set()
    done: set[str] = set()
    for event, _, at in taking_part(path, seen.experiment, Counter(), since):
        picked, request = event["query_attributes"].get("teams"), event["query_id"]
        # None: the service has told it since the log was read for the first time.
        client = seen.requests.get(request)
        if not picked or client is None or request in done:
            continue
        done.add(request)
        clients.add(client)
        hits = event["query_response_hit_ids"]
        together = frozenset(name for name in picked if name)
        draft = drafts.setdefault(together, len(drafts))
        for name in together:
            teams.setdefault(name, len(teams))
        if len(picked) != len(hits):
            continue
        wanted = [*by_request.get(request, ())]
        its = by_client.get(client, {})
        if its:
            wanted += [place for item in hits if item in its for place in its[item]]
        if not wanted:
            continue
        team_of = dict(zip(hits, picked, strict=True))
        for place in wanted:
            item = did.item[place]
            if item in team_of and answered[place] <= at <= did.at[place] <= at + window_s:
                answered[place] = at
                credited[place] = teams.get(team_of[item], -1)
                beside[place] = draft
    pairs = _pairs(drafts)
    found = [
        _preference(kind, number, pair, len(pairs), teams, credited, _had(pair, drafts)[beside], did)
        for number, kind in enumerate(KINDS)
        for pair in pairs
    ]
    lost = np.isin(did.client, list(clients)) & (credited < 0)
    return Interleaved(sorted(teams), len(done), len(clients), int(lost.sum()), found)


def _pairs(drafts: Iterable[frozenset[str]]) -> list[tuple[str, str]]:
    """The teams that had items in one answer, by two: between others users had nothing to choose."""
    return sorted({(first, second) for draft in drafts for first, second in combinations(sorted(draft), 2)})


def _had(pair: tuple[str, str], drafts: Iterable[frozenset[str]]) -> Bool:
    """Whether each draft had items of both; the last is no draft, and had none."""
    return np.array([*(draft.issuperset(pair) for draft in drafts), False])


def _preference(
    kind: str, number: int, pair: tuple[str, str], pairs: int, teams: Mapping[str, int], credited: I64,
    had: Bool, did: Outcomes,
) -> Preference:  # fmt: skip
    first, second = pair
    its = np.flatnonzero((did.kind == number) & had)
    team = credited[its]
    ours, theirs = team == teams[first], team == teams[second]
    places = np.unique(did.client[its], return_inverse=True)[1]
    more = np.bincount(places, ours.astype(np.int64) - theirs)  # of each unit, of the first's items
    chose = np.bincount(places, ours | theirs) > 0
    wins, losses = int((more > 0).sum()), int((more < 0).sum())
    ties = int(((more == 0) & chose).sum())
    share, always, p = preference(wins, losses, pairs)
    preferred = first if always.low > 0.5 else second if always.high < 0.5 else None
    return Preference(
        kind, first, second, (int(ours.sum()), int(theirs.sum())), (wins, losses, ties),
        share, always, p, preferred,
    )  # fmt: skip


def preference(wins: int, losses: int, pairs: int = 1) -> tuple[Interval, Interval, float]:
    """The share of those with a preference that prefer the first, at one look and at every look, and p.

    Args:
        wins, losses: units that prefer the first, and the second.
        pairs: that are compared: the second interval and p hold for all of them at once.
    """
    n = wins + losses
    if n < LEAST_PREFERRING:
        return UNKNOWN, UNKNOWN, float("nan")
    share = wins / n
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    wide = always_half_width(0.5 / math.sqrt(n), PLANNED, pairs)  # the widest that a share can vary
    return (
        Interval(share, middle - half, middle + half),
        Interval(share, max(0.0, share - wide), min(1.0, share + wide)),
        min(1.0, pairs * sign_test(wins, losses)),
    )


def sign_test(wins: int, losses: int) -> float:
    """Chance of a split at least as uneven if each of these units preferred either as likely: two-sided."""
    n, fewer = wins + losses, min(wins, losses)
    if n == 0:
        return float("nan")
    if n > _EXACT:  # with the correction for whole numbers
        return min(1.0, 2 * NORMAL.cdf((fewer + 0.5 - n / 2) / (math.sqrt(n) / 2)))
    term = tail = 1
    for each in range(fewer):  # math.comb(n, each + 1), from the one before
        term = term * (n - each) // (each + 1)
        tail += term
    return min(1.0, 2 * tail / (1 << n))
