"""A version that is fed later gets what the others got to know since its folder was written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from artifacts.embeddings import EmbeddingsFolder
from devtools.embeddings import make_embeddings
from devtools.vespa_fakes.document_server import DocumentServer
from devtools.vespa_fakes.feed_process import FEED, settings_for
from index.vespa.feed.feeder import feed
from index.vespa.feed.journal import Journal
from index.vespa.feed.ledger import Ledger
from index.vespa.feed.merged import Change
from index.vespa.feed.siblings import Sibling
from index.vespa.feed.source import EmbeddingsSource
from tests.index.vespa.answers import VERSION

OTHER = replace(VERSION, bundle_version="demo-89abcdef", attributes={"price": "number", "brand": "number"})
VECTOR = [1.0, *[0.0] * 7]


def test_removals_and_attributes_are_told_and_vectors_are_not() -> None:
    blue, green = Ledger(), Ledger()
    blue.record(
        [
            Change("update", "old", 5, {"price": 1.0}),  # the folder has it
            Change("update", "a", 20, {"price": 2.0, "brand": "acme", "tags": ["x"]}),
            Change("update", "b", 20, {"price": 2.0, "brand": "acme"}),
            Change("update", "a", 30, {"price": 3.0}),
            Change("remove", "gone", 21),
            Change("put", "new", 22, {"price": 4.0}, VECTOR),
            Change("put", "both", 23, {"price": 5.0}, VECTOR),
            Change("update", "late", 24, {"price": 6.0}),
        ]
    )
    green.record(
        [Change("put", "both", 24, {"price": 7.0}, VECTOR), Change("update", "late", 40, {"price": 8.0})]
    )
    sibling = Sibling(VERSION, blue)
    assert sibling.tell(OTHER, green, as_of=10) == {"new"}
    known = green.newer(["old", "a", "b", "gone", "new", "both", "late"], 0)
    assert dict(known["b"].attributes) == {"price": (20, 2.0)}
    assert known.keys() == {"a", "b", "gone", "new", "both", "late"}
    # Its brand is a number, and it has no tags.
    assert dict(known["a"].attributes) == {"price": (30, 3.0)}
    assert (known["gone"].whole, known["gone"].whole_ver) == ("remove", 21)
    assert (known["new"].whole, dict(known["new"].attributes)) == ("", {"price": (22, 4.0)})
    assert (known["both"].whole_ver, known["both"].attributes["price"]) == (24, (24, 7.0))
    assert known["late"].attributes["price"] == (40, 8.0)
    # Each change is told once, or a feed would see its own again and again.
    before = green.sequence
    assert sibling.tell(OTHER, green, as_of=10) == set()
    assert green.sequence == before
    blue.record([Change("remove", "a", 50)])
    sibling.tell(OTHER, green, as_of=10)
    assert green.newer(["a"], 0)["a"].whole == "remove"


def test_a_version_of_the_same_bundle_gets_vectors_too() -> None:
    blue, green = Ledger(), Ledger()
    blue.record(
        [Change("put", "new", 22, {"price": 4.0}, VECTOR), Change("update", "new", 25, {"price": 5.0})]
    )
    assert Sibling(VERSION, blue).tell(replace(VERSION, vectors="int8"), green, as_of=10) == set()
    (state,) = green.newer(["new"], 0).values()
    assert (state.whole, state.whole_ver, state.vector) == ("put", 22, VECTOR)
    assert state.attributes["price"] == (25, 5.0)


def test_what_is_missing_is_told_until_it_is_taken_over() -> None:
    blue, green = Ledger(), Ledger()
    green.begin(10)
    young, now = 100, 100 + 60_000_000 - 1
    blue.record(
        [
            Change("update", "old", 5, {"price": 1.0}),  # the folder has it
            Change("update", "a", 20, {"price": 2.0, "tags": ["x"]}),
            Change("update", "unknown", 20, {"tags": ["x"]}),  # it has no tags
            Change("remove", "gone", 21),
            Change("put", "new", 22, {"price": 4.0}, VECTOR),
            Change("put", "both", 23, {"price": 5.0}, VECTOR),
            Change("update", "on its way", young, {"price": 6.0}),
        ]
    )
    # The service told both of it, at almost the same time.
    green.record([Change("put", "both", 24, {"price": 5.0}, VECTOR)])
    sibling = Sibling(VERSION, blue)
    assert sibling.missing(OTHER, green, now) == ({"a", "gone", "new"}, {"new"})
    assert sibling.missing(OTHER, green, now + 1) == ({"a", "gone", "new", "on its way"}, {"new"})
    assert not green.newer(["a"], 0), "looking changes nothing"
    sibling.tell(OTHER, green, as_of=10)
    assert sibling.missing(OTHER, green, now + 1) == (set(), {"new"})
    green.record([Change("put", "new", 30, {"price": 4.0}, VECTOR)])
    assert sibling.missing(OTHER, green, now + 1) == (set(), set())


async def test_what_the_version_that_serves_removed_is_not_in_the_one_fed_after(tmp_path: Path) -> None:
    folder = EmbeddingsFolder.open(make_embeddings(tmp_path / "embeddings", rows=20))
    blue = Ledger()
    blue.record([Change("remove", "item-3", 20), Change("update", "item-4", 21, {"price": 7.5})])
    async with DocumentServer() as server:
        settings = settings_for(server.url, folder)
        older = replace(settings.version, bundle_version="demo-89abcdef")
        source = EmbeddingsSource(folder, siblings=[Sibling(older, blue)])
        report = await feed(settings, source, Journal(None, "test", 10), feeding=FEED)
        assert report.complete
        assert server.documents.keys() == {f"item-{row}" for row in range(20)} - {"item-3"}
        assert server.documents["item-4"]["price"] == 7.5
        assert not source.lacking
        # What came when the feed was through, and the service did not have the version yet: with --fed.
        blue.record([Change("remove", "item-5", 30), Change("update", "item-6", 31, {"price": 8.5})])
        again = Journal(None, "test", 10)
        again.low = source.total
        source = EmbeddingsSource(folder, source.ledger, siblings=[Sibling(older, blue)])
        assert (await feed(settings, source, again, feeding=FEED)).complete
        assert "item-5" not in server.documents
        assert server.documents["item-6"]["price"] == 8.5
