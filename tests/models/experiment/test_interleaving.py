"""Teams of one answer, compared by what users chose of their items."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from artifacts.exposures import client_id
from cli.main import build
from models.experiment import report
from models.experiment.exposures import EVERY, read_exposures
from models.experiment.interleaving import LEAST_PREFERRING, interleaved, preference, sign_test
from models.experiment.outcomes import read_outcomes
from models.experiment.page import write_page
from service.recall.interleave import team_draft

START = datetime(2026, 11, 2, tzinfo=UTC)
ITEMS = [f"i{n}" for n in range(20)]


def event(user: int, answer: int, hits: list[str], teams: list[str], **arms: str) -> dict[str, Any]:
    return {
        "format": 1,
        "application": "mrse-recall",
        "query_id": f"r{user}.{answer}",
        "client_id": client_id(f"u{user}"),
        "timestamp": (START + timedelta(hours=user % 100, minutes=20 * answer)).isoformat(),
        "query_response_hit_ids": hits,
        "query_attributes": {
            "unit": "user", "query_hash": f"q{answer}", "arms": {"towers": "control", **arms}, "forced": [],
            "shares": dict.fromkeys(arms, 1.0), "bundle": "b", "index": "i", "routes": {}, "teams": teams,
            "partial": False, "degraded": [], "took_ms": 5.0,
        },
    }  # fmt: skip


def drafted(rng: np.random.Generator, seed: str) -> tuple[list[str], list[str]]:
    """An answer of two teams, by the service's own draft."""
    teams = {
        name: [{"item_id": ITEMS[n], "score": 1.0, "sources": []} for n in rng.permutation(20)]
        for name in ("rrf", "score")
    }
    items = team_draft(teams, {item: [] for item in ITEMS}, seed)[:10]
    return [item["item_id"] for item in items], [item["team"] for item in items]


def write(folder: Path, events: list[dict[str, Any]], rows: list[dict[str, Any]]) -> tuple[Path, Path]:
    log, outcomes = folder / "exposures-1.jsonl", folder / "outcomes.jsonl"
    log.write_text("".join(json.dumps(each) + "\n" for each in events))
    outcomes.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return log, outcomes


def shop(folder: Path, liking: float, users: int = 300, seed: int = 1) -> tuple[Path, Path]:
    """Users who click twice; ``liking`` is the chance that a click is on an item of ``score``."""
    rng, events, rows = np.random.default_rng(seed), [], []
    for user in range(users):
        for answer in range(2):
            hits, teams = drafted(rng, f"{user}.{answer}")
            told = event(user, answer, hits, teams)
            events.append(told)
            team = "score" if rng.random() < liking else "rrf"
            item = rng.choice([hit for hit, its in zip(hits, teams, strict=True) if its == team])
            at = datetime.fromisoformat(told["timestamp"]) + timedelta(minutes=1)
            rows.append(
                {
                    "timestamp": at.isoformat(), "action": "click", "query_id": told["query_id"],
                    "item_id": item,
                }
            )  # fmt: skip
    return write(folder, events, rows)


def test_the_team_whose_items_users_chose_is_found_and_no_experiment_is_needed(tmp_path: Path) -> None:
    found = report(*shop(tmp_path, 0.65))
    assert (found.experiment, found.against, found.sound) == (EVERY, [], True)
    its = found.interleaved
    assert its is not None
    assert (its.teams, its.answers, its.units, its.uncredited) == (["rrf", "score"], 600, 300, 0)
    clicks = its.preferences[0]
    assert (clicks.kind, clicks.first, clicks.second, clicks.preferred) == ("click", "rrf", "score", "score")
    assert sum(clicks.credits) == 600
    # Of two clicks: both on score 0.42, both on rrf 0.12, one of each 0.455.
    assert clicks.share.low < 0.1225 / 0.545 < clicks.share.high
    assert abs(clicks.units[2] / 300 - 0.455) < 4 * np.sqrt(0.25 / 300)
    assert {each.preferred for each in its.preferences[1:]} == {None}  # no carts, no orders
    page = write_page(found)
    for text in ("<h1>Interleaving</h1>", "score is preferred to rrf", "fewer than 20 units", "<svg"):
        assert text in page
    json.dumps(found.as_dict(), allow_nan=False)


def test_teams_of_equal_worth_are_told_apart_in_a_twentieth_of_experiments_and_never_at_every_look() -> None:
    rng = np.random.default_rng(5)
    splits = rng.binomial(300, 0.5, 1000)
    wrong = [preference(int(wins), 300 - int(wins)) for wins in splits]
    surely = np.mean([always.low > 0.5 or always.high < 0.5 for _, always, _ in wrong])
    assert np.mean([p < 0.05 for _, _, p in wrong]) == pytest.approx(0.045, abs=0.025)
    assert surely < 0.01
    assert np.mean([share.low <= 0.5 <= share.high for share, _, _ in wrong]) == pytest.approx(
        0.95, abs=0.025
    )


@pytest.mark.parametrize(("wins", "losses"), [(0, 1), (3, 9), (50, 50), (900, 1050), (1100, 1250)])
def test_the_sign_test_and_the_interval_are_those_of_scipy(wins: int, losses: int) -> None:
    known = stats.binomtest(wins, wins + losses)
    assert sign_test(wins, losses) == pytest.approx(known.pvalue, abs=1e-3)
    share, _, p = preference(wins, losses)
    if wins + losses < LEAST_PREFERRING:
        assert np.isnan(p)
        return
    bounds = known.proportion_ci(method="wilson")
    assert (share.low, share.high) == pytest.approx((bounds.low, bounds.high))


def test_an_outcome_belongs_to_the_last_answer_before_it_that_showed_the_item(tmp_path: Path) -> None:
    events = [
        event(1, 0, ["a", "b"], ["one", "two"]),
        event(1, 1, ["b", "a"], ["one", "two"]),
        event(2, 0, ["p", "a"], ["", "one"]),  # the first is pinned
        event(2, 0, ["p", "a"], ["two", "two"]),  # told twice
        event(3, 0, ["a"], []),  # not interleaved
        event(4, 0, ["a", "b"], ["one", "one"]),
    ]
    start = {n: datetime.fromisoformat(each["timestamp"]) for n, each in enumerate(events)}

    def row(place: int, minutes: float, item: str | None, **by: str) -> dict[str, Any]:
        return {"ts": (start[place] + timedelta(minutes=minutes)).isoformat(), "action": "click", **by} | (
            {} if item is None else {"item": item}
        )

    ubi = {**row(1, 5, None, user="u1"), "event_attributes": {"object": {"object_id": "b"}}}
    rows = [
        row(0, 5, "a", user="u1"),  # of the first answer: one
        row(1, 5, "a", user="u1"),  # of the second: two
        row(1, 6, "a", query_id="r1.0"),  # of the first, which it names: one
        ubi,  # one
        row(2, 1, "p", user="u2"),  # nobody's: pinned
        row(2, 1, "z", user="u2"),  # nobody's: not shown
        row(2, 1, None, user="u2"),  # nobody's: no item
        row(2, -1, "a", user="u2"),  # nobody's: before the answer
        row(2, 60 * 24 * 8, "a", user="u2"),  # nobody's: later than the window
        row(2, 3, "a", user="u2"),  # one
        row(4, 1, "a", user="u3"),  # was shown no draft
        row(5, 1, "a", user="u4"),  # one, which had nobody beside it
    ]
    found = report(*write(tmp_path, events, rows), experiment="towers").interleaved
    assert found is not None
    assert (found.teams, found.answers, found.units, found.uncredited) == (["one", "two"], 4, 3, 5)
    clicks = found.preferences[0]
    assert (clicks.credits, clicks.units) == ((3, 1), (1, 0, 0))
    assert np.isnan(clicks.share.value)


def test_many_teams_are_compared_where_they_met_and_no_pair_is_preferred_by_chance_of_many() -> None:
    rng = np.random.default_rng(7)
    wins = rng.binomial(300, 0.5, (60, 45))  # of ten teams that are of equal worth, each pair
    alone = [[preference(int(w), 300 - int(w))[2] for w in pairs] for pairs in wins]
    assert np.mean([min(pairs) < 0.05 for pairs in alone]) > 0.5
    judged = [[preference(int(w), 300 - int(w), 45) for w in pairs] for pairs in wins]
    assert np.mean([min(p for *_, p in pairs) < 0.05 for pairs in judged]) < 0.15
    one, many = preference(190, 110)[1], preference(190, 110, 45)[1]
    assert many.low < one.low < one.high < many.high


def test_more_teams_than_a_number_has_bits_are_told_apart(tmp_path: Path) -> None:
    names = [f"t{n:02}" for n in range(70)]
    events = [event(u, 0, ["a", "b"], [names[u % 35], names[69 - u % 35]]) for u in range(35 * 30)]
    at = (START + timedelta(hours=120)).isoformat()
    rows = [{"ts": at, "action": "click", "user": f"u{u}", "item": "b"} for u in range(35 * 30)]
    found = report(*write(tmp_path, events, rows), experiment="towers").interleaved
    assert found is not None
    assert found.teams == names
    clicks = [each for each in found.preferences if each.kind == "click"]
    assert len(clicks) == 35  # of 2,415 pairs, those that had items in one answer
    for each in clicks:
        assert each.credits == (0, 30) == each.units[:2], each
        assert int(each.first[1:]) + int(each.second[1:]) == 69


def test_answers_that_the_service_tells_between_the_two_readings_take_no_part(tmp_path: Path) -> None:
    log, outcomes = shop(tmp_path, 0.65, users=30)
    seen = read_exposures(log, EVERY)
    did = read_outcomes(outcomes, seen)
    with log.open("a") as written:
        written.write(json.dumps(event(99, 0, ["i1", "i2"], ["rrf", "score"])) + "\n")
    found = interleaved(log, seen, did, 0.0, 7 * 86_400.0)
    assert (found.answers, found.units, found.uncredited) == (60, 30, 0)


def test_one_arm_alone_that_is_interleaved_is_reported_beside_the_arms(tmp_path: Path) -> None:
    events = [
        event(u, 0, ["a", "b"], ["one", "two"] if u % 2 else [], merge=f"arm{u % 2}") for u in range(80)
    ]
    rows = [
        {"ts": (START + timedelta(hours=120)).isoformat(), "action": "order", "user": f"u{u}", "item": "b"}
        for u in range(80)
    ]
    log, outcomes = write(tmp_path, events, rows)
    found = report(log, outcomes)
    assert [each.arm for each in found.against] == ["arm1"]
    assert found.interleaved is not None
    orders = found.interleaved.preferences[2]
    assert (orders.kind, orders.credits, orders.units) == ("order", (0, 40), (0, 40, 0))
    page = tmp_path / "page.html"
    said = (
        CliRunner()
        .invoke(build(), ["experiment", "report", str(log), str(outcomes), "--report", str(page)])
        .stdout
    )
    assert "interleaving: 40 answers to 40 units" in said
    assert "one or two, by order: two is preferred to one" in said
    assert "arm1 against arm0" in page.read_text()
