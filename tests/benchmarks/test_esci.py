"""The ESCI benchmark's own parts: folds that share no query, and figures checked by hand."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from artifacts.shop.shop import Shop
from benchmarks.esci_data import FOLDS, choose_fold, read_esci, write_fold
from benchmarks.esci_folds import by_folds
from benchmarks.esci_measure import Answers, auc, by_queries, measure
from benchmarks.esci_ours import SYSTEMS, configure

ROWS = {
    "products.csv.gz": [("product_id", "title"), *((f"p{n}", f"thing number {n}") for n in range(12))],
    "queries.csv.gz": [("query_id", "query"), *((f"q{n}", f"thing {n}") for n in range(30))],
    "labels.csv.gz": [
        ("query_id", "product_id", "label", "task"),
        *((f"q{n}", f"p{n % 12}", "ESCI"[n % 4], "MPC") for n in range(24)),
        ("q0", "p5", "E", "MPC"),
        ("q25", "p1", "S", "PSI"),
        ("q26", "p2", "notS", "PSI"),
    ],
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name, rows in ROWS.items():
        with gzip.open(tmp_path / name, "wt", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    return tmp_path


def test_what_is_measured(source: Path) -> None:
    data = read_esci(source)
    assert len(data.titles) == 12
    # Queries without a judged pair or an Exact are not asked.
    assert "thing 25" not in data.queries
    assert len(data.pairs) == len(data.is_exact) == 25
    assert data.exact[data.queries.index("thing 0")] == [0, 5]
    assert data.is_exact.sum() == 7
    parts = [data.only(fold) for fold in range(FOLDS)]
    assert sum(len(part.queries) for part in parts) == len(data.queries)
    assert sum(len(part.pairs) for part in parts) == len(data.pairs)
    for part in parts:
        assert set(part.folds) <= {parts.index(part)}
        exact = {part.queries[query] for query in part.pairs[part.is_exact, 0]}
        assert exact == {query for query, rows in zip(part.queries, part.exact, strict=True) if rows}


def test_a_folds_queries_are_its_test_split_and_no_others(source: Path) -> None:
    shops = [Shop.open(write_fold(source, fold, source / f"shop-{fold}")) for fold in range(FOLDS)]
    held_out: list[str] = []
    for fold, shop in enumerate(shops):
        splits = {(event.query, event.split) for event in shop.events()}
        test = {query for query, split in splits if split == "test"}
        assert all(choose_fold(query) == fold for query in test)
        assert all(choose_fold(query) != fold for query, split in splits if split == "train")
        held_out += test
    assert len(held_out) == len(set(held_out)) == 26
    assert choose_fold("Thing  1") == choose_fold("thing 1")
    assert write_fold(source, 0, source / "shop-0") == source / "shop-0"


def test_figures_by_hand(source: Path, tmp_path: Path) -> None:
    data = read_esci(source)
    count = len(data.queries)
    scores = np.zeros((count, 12), dtype=np.float32)
    for query, rows in enumerate(data.exact):
        # The first Exact product stands at rank 2, behind product 11 (rank 1).
        scores[query, 11] = 2.0
        scores[query, rows[:1]] = 1.0
    half = np.arange(count) % 2 == 0
    parts = [Answers.from_scores(scores[mask], data, np.flatnonzero(mask)) for mask in (half, ~half)]
    parts[0].save(tmp_path / "half.npz")
    answers = Answers.load(tmp_path / "half.npz").joined(parts[1])
    asked = sum(1 for rows in data.exact if rows)
    figures = {name: sums.value for name, sums in by_queries(answers, data).items()}
    assert figures["R@1"] == 0
    # The query with two Exact products finds the second one at rank 7: by catalogue order behind the zeros.
    assert figures["R@10"] == 1
    one, two = 1 / np.log2(3), 1 + 1 / np.log2(3)
    both = (1 / np.log2(3) + 1 / np.log2(8)) / two
    assert figures["nDCG@10"] == pytest.approx(((asked - 1) * one + both) / asked)
    assert not np.isnan(answers.pairs).any()
    table = measure(answers, data)
    assert table["AUC"]["low"] <= table["AUC"]["value"] <= table["AUC"]["high"]


def test_each_fold_is_answered_by_what_is_best_on_the_others(source: Path) -> None:
    data = read_esci(source)
    count, folds = len(data.queries), data.folds
    right = np.zeros((count, 12), dtype=np.float32)
    for query, rows in enumerate(data.exact):
        right[query, rows] = 1.0
    asked = np.array([bool(rows) for rows in data.exact])
    largest = int(np.bincount(folds[asked], minlength=FOLDS).argmax())
    # One way knows the answers of the largest fold alone, the other those of all other folds.
    ways = [
        Answers.from_scores(
            np.where((folds == largest)[:, None] == own, right, -right), data, np.arange(count)
        )
        for own in (True, False)
    ]
    answers, chosen = by_folds(ways, data)
    # What is right on a fold says nothing of it there: the largest is answered by the way that fails on it.
    assert chosen[largest] == 1
    for fold in range(FOLDS):
        mine = folds == fold
        assert (answers.top[mine] == ways[chosen[fold]].top[mine]).all()
        pairs = mine[data.pairs[:, 0]]
        assert (answers.pairs[pairs] == ways[chosen[fold]].pairs[pairs]).all()


def test_auc_is_the_share_of_ordered_pairs() -> None:
    scores = np.array([0.9, 0.5, 0.5, 0.1])
    assert auc(scores, np.array([True, True, False, False])) == pytest.approx(3.5 / 4)
    assert auc(-scores, np.array([True, True, False, False])) == pytest.approx(0.5 / 4)
    assert auc(np.zeros(4), np.array([True, False, True, False])) == 0.5


@pytest.mark.parametrize("quick", [False, True])
def test_only_a_system_that_takes_no_step_may_answer_all_folds(quick: bool) -> None:
    for system in SYSTEMS:
        config = configure(system, Path("minilm"), quick=quick)
        assert system.learns == bool(config.stage1.steps or config.stage2.steps)
        if not system.learns:
            assert config.fusion.start in ("components", "distilled")
            # Neither may it know what others asked.
            assert config.fusion.start == "components" or not config.distil.log_queries
