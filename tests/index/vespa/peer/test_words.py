"""Searches by words before Vespa's own validators and query parser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.words import Tokeniser
from devtools.vespa_peer.peer import Judge
from index.filters import parse_filter
from index.vespa.package.layout import Layout
from index.vespa.package.render import add_version, render
from index.vespa.package.rules import check_package
from index.vespa.query import QueryBuilder
from index.vespa.version import Version, read_versions
from index.vespa.words import TextSpec
from tests.index.vespa import rules
from tests.index.vespa.package.schema_rules import schema_problems
from tests.index.vespa.peer.test_queries_parsed import canonical, meant
from tests.support.vespa_peer import VERSION

WORDY = Version(
    "words-89abcdef", 64, {"brand": "string", "price": "number"}, TextSpec(("title", "category"), "english")
)
BUILDER = QueryBuilder(WORDY)


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version with words beside one without."""
    return render(tmp_path_factory.mktemp("words"), [VERSION, WORDY], Layout())


def test_the_package_is_taken_beside_a_version_without_words(vespa_judge: Judge, application: Path) -> None:
    verdict = vespa_judge.package(application)
    assert verdict.ok, verdict.error
    assert [each for each in verdict.warnings if "Unable to lookup IP address" not in each] == []
    assert check_package(application.parent) == []
    assert schema_problems(application) == []


def test_a_version_that_comes_changes_nothing_of_one_without_words(
    vespa_judge: Judge, tmp_path: Path
) -> None:
    before = render(tmp_path / "one", [VERSION], Layout())
    schema = (before / "schemas" / f"{VERSION.document_type}.sd").read_bytes()
    render(tmp_path / "two", [VERSION], Layout())
    after = add_version(tmp_path / "two", WORDY)
    assert (after / "schemas" / f"{VERSION.document_type}.sd").read_bytes() == schema
    verdict = vespa_judge.package(after, previous=before)
    assert verdict.ok, verdict.error
    assert verdict.actions == ()
    # The bundle's next embeddings hold texts: its version stays as it was fed.
    again = add_version(tmp_path / "two", replace(VERSION, texts=WORDY.texts))
    assert (again / "schemas" / f"{VERSION.document_type}.sd").read_bytes() == schema
    assert {version.texts for version in read_versions(tmp_path / "two")} == {None, WORDY.texts}


@given(
    text=st.one_of(st.text(max_size=40), st.sampled_from(["iphone 15 pro", "1,5 l 500ml", "运动鞋", "Ⅷ a"]))
)
def test_the_words_arrive_as_they_were_cut(vespa_judge: Judge, application: Path, text: str) -> None:
    words = Tokeniser("english").query(text)
    if not words:
        return
    filters = parse_filter({"brand": "acme", "price": {"lt": 5}}, WORDY.attributes)
    body = BUILDER.words(words, 20, filters, 0.1)
    rules.request(body, 64)
    parsed = vespa_judge.query(application, body)
    assert parsed["ok"], parsed["error"]
    operator = ["weakAnd", 1000, *(["=", "item_words", word] for word in words)]
    assert parsed["tree"][:2] == ["AND", operator]
    assert canonical(["AND", ["TRUE"], *parsed["tree"][2:]]) == meant(["TRUE"], filters)
    alone = vespa_judge.query(application, BUILDER.words(words, 20, None, 0.1))
    assert alone["tree"] == operator
    assert (parsed["profile"], parsed["summary"], parsed["hits"]) == ("lexical", "ids", 20)
