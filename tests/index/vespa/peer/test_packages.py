"""Packages that the generator writes, before Vespa's own validators."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtools.vespa_peer.peer import Judge, Verdict
from index.vespa import names
from index.vespa.package.layout import Layout, Tls
from index.vespa.package.render import add_version, drop_version, read_layout, render
from index.vespa.package.rules import check_package
from index.vespa.version import Version, read_versions
from tests.index.vespa.package.schema_rules import schema_problems
from tests.index.vespa.package.test_render import ONE_GROUP
from tests.support.vespa_peer import INT8, VERSION

SECOND = Version("demo-deadbeef", 64, {"price": "number"})
PRODUCTION = Layout(
    config=("c1", "c2", "c3"),
    query=("q1", "q2"),
    feed=("f1",),
    groups=(("a1", "a2", "a3"), ("b1", "b2", "b3")),
)
TLS = replace(PRODUCTION, tls=Tls("/etc/vespa/key.pem", "/etc/vespa/cert.pem", "/etc/vespa/ca.pem"))
LAYOUTS = pytest.mark.parametrize(
    "layout", [Layout(), PRODUCTION, TLS, ONE_GROUP], ids=["dev", "production", "tls", "one group"]
)


def today() -> datetime:
    return datetime.now(UTC)


def assert_clean(verdict: Verdict, application: Path) -> None:
    assert verdict.ok, verdict.error
    assert [each for each in verdict.warnings if "Unable to lookup IP address" not in each] == []
    assert check_package(application.parent) == []
    assert schema_problems(application) == []


@LAYOUTS
def test_a_package_validates(layout: Layout, vespa_judge: Judge, tmp_path: Path) -> None:
    application = render(tmp_path, [VERSION, INT8], layout)
    assert_clean(vespa_judge.package(application), application)


@LAYOUTS
def test_versions_come_and_go_without_restart_or_refeed(
    layout: Layout, vespa_judge: Judge, tmp_path: Path
) -> None:
    one = render(tmp_path / "one", [VERSION], layout)
    render(tmp_path / "two", [VERSION], layout)
    two = add_version(tmp_path / "two", SECOND)
    verdict = vespa_judge.package(two, previous=one)
    assert_clean(verdict, two)
    assert verdict.actions == ()

    render(tmp_path / "three", [VERSION, SECOND], layout)
    three = drop_version(tmp_path / "three", VERSION, today().date())
    verdict = vespa_judge.package(three, previous=two)
    assert_clean(verdict, three)
    assert verdict.actions == ()
    assert read_versions(tmp_path / "three") == [SECOND]
    assert read_layout(tmp_path / "three") == layout

    # The override is gone with the next change: what it allowed must not stay allowed.
    four = add_version(tmp_path / "three", VERSION)
    assert not (four / "validation-overrides.xml").exists()
    assert_clean(vespa_judge.package(four, previous=two), four)


def test_attributes_of_any_name_validate(vespa_judge: Judge, tmp_path: Path) -> None:
    attributes = [
        "price",
        "Price",
        "in-stock",
        "größe",
        "id",
        "rank",
        "item_id",
        "attr_x",
        "2nd",
        "a b",
        "select",
        "position",
    ]
    version = Version("odd.names-00000000", 8, dict.fromkeys(attributes, "number"))
    application = render(tmp_path, [version], Layout())
    assert_clean(vespa_judge.package(application), application)
    assert len({names.field_name(each).lower() for each in attributes}) == len(attributes)
    for attribute in version.attributes:
        field = names.field_name(attribute)
        condition = f"{field} contains 'a'" if attribute == "category" else f"{field} > 1.0"
        answer = vespa_judge.query(
            application,
            {"yql": f"select * from sources * where {condition}", "model.restrict": version.document_type},
        )
        assert answer["ok"], answer
        assert answer["tree"][1] == field
