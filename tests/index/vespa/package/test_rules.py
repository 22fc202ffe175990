"""An edited package: what nobody may edit, and what may be edited and cannot work."""

from __future__ import annotations

from pathlib import Path

import pytest

from index.vespa.package.layout import Layout
from index.vespa.package.render import render
from index.vespa.package.rules import check_package
from index.vespa.version import Version

VERSION = Version("demo-1a2b3c4d", 128, {"brand": "string", "price": "number"})
SCHEMA = "schemas/item_demo_1a2b3c4d.sd"
PROFILE = "search/query-profiles/default.xml"
SERVICES = "services.xml"
TWO_GROUPS = Layout(config=("c1",), query=("q1",), feed=("f1",), groups=(("a1", "a2"), ("b1", "b2")))

EDITS: dict[str, tuple[str, str, str, str]] = {
    "a setting of a field": (SCHEMA, "links-per-node: 16", "links-per-node: 8", "+ max-links-per-node: 8"),
    "a pinned threshold": (SCHEMA, "filter-first-threshold: 0.2\n", "\n", "- filter-first-threshold: 0.2"),
    "redundancy without nodes": (
        SERVICES,
        "redundancy>2<",
        "redundancy>5<",
        "redundancy 5 on 4 node(s)",
    ),
    "too few copies": (SERVICES, "min-redundancy>2<", "min-redundancy>1<", "redundancy 1 for 2 groups"),
    "copies that cannot answer": (
        SERVICES,
        "copies>2<",
        "copies>1<",
        "searchable-copies 1 for 2 groups",
    ),
    "groups of two sizes": (
        SERVICES,
        '<node hostalias="content3" distribution-key="3"/>',
        "",
        "groups of [1, 2] nodes",
    ),
    "a last node that nobody waits for": (
        SERVICES,
        """<minimum>0.95</minimum>
        <min-wait-after-coverage-factor>1<""",
        """<minimum>0.5</minimum>
        <min-wait-after-coverage-factor>0<""",
        "the last of a group's 2 nodes is never waited for",
    ),
    "a type without a schema": (
        SERVICES,
        "item_demo_1a2b3c4d",
        "item_other",
        "no content cluster holds it",
    ),
    "a mode": (SERVICES, 'mode="index"', 'mode="streaming"', "mode is streaming"),
    "a misspelt field": (PROFILE, 'name="maxHits"', 'name="maxHit"', "'maxHit' is no parameter"),
    "a misspelt element": (PROFILE, '<field name="hits">100</field>', "<feild/>", "<feild> is no element"),
    "a time without a unit": (PROFILE, ">500ms<", ">500<", "a bare number is seconds"),
    "fewer hits than are asked for": (PROFILE, ">10000<", ">400<", "maxHits is 400"),
}


@pytest.mark.parametrize("name", EDITS)
def test_edits_that_cannot_work(name: str, tmp_path: Path) -> None:
    file, old, new, words = EDITS[name]
    path = render(tmp_path, [VERSION], TWO_GROUPS) / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    problems = [str(problem) for problem in check_package(tmp_path)]
    assert any(problem.startswith(f"{file}: ") and words in problem for problem in problems), problems


def test_edits_that_are_fine(tmp_path: Path) -> None:
    application = render(tmp_path, [VERSION], Layout())
    for file, old, new in (
        (SCHEMA, "# Unit length", "# A comment of ours\n# Unit length"),
        (SCHEMA, "rank: filter", "rank:   filter"),
        (PROFILE, ">500ms<", ">800ms<"),
        (SERVICES, "<persearch>1<", "<persearch>2<"),
    ):
        path = application / file
        path.write_text(path.read_text().replace(old, new))
    assert check_package(tmp_path) == []


def test_schemas_that_are_of_no_version(tmp_path: Path) -> None:
    application = render(tmp_path, [VERSION], Layout())
    (application / SCHEMA).rename(application / "schemas" / "item_other.sd")
    assert any("no such version" in problem.message for problem in check_package(tmp_path))
    (application / "schemas" / "item_other.sd").unlink()
    assert any("no schema" in problem.message for problem in check_package(tmp_path))
