"""Every fault of the table is caught, by the one that the table names."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from devtools.vespa_peer.peer import Judge
from index.vespa.package.layout import Layout
from index.vespa.package.render import add_version, application_folder, render
from index.vespa.package.rules import check_package
from index.vespa.version import Version, VersionError
from tests.index.vespa import rules
from tests.index.vespa.package.schema_rules import schema_problems
from tests.index.vespa.peer.planted import (
    CHANGE,
    FEED,
    PACKAGE,
    QUERY,
    TABLES,
    TYPE,
    Planted,
    document_fields,
    query_body,
)
from tests.support.vespa_peer import VERSION

SECOND = Version("demo-deadbeef", 128, {"brand": "string"})


def _named(table: list[Planted]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fault", table, ids=lambda fault: fault.name)


def test_the_tables_are_whole() -> None:
    assert sum(map(len, TABLES.values())) >= 40
    for table in TABLES.values():
        assert len({fault.name for fault in table}) == len(table)
        assert {fault.caught_by for fault in table} >= {"vespa", "ours"}


@_named(PACKAGE)
def test_package(fault: Planted, vespa_judge: Judge, vespa_application: Path, tmp_path: Path) -> None:
    shutil.copytree(vespa_application.parent, tmp_path / "package")
    application = application_folder(tmp_path / "package")
    fault.plant(application)
    verdict = vespa_judge.package(application)
    if fault.caught_by == "vespa":
        assert not verdict.ok
        assert fault.words in verdict.error
    else:
        assert verdict.ok, verdict.error
        assert fault.words in "\n".join(
            [*map(str, check_package(application.parent)), *schema_problems(application)]
        )
        assert check_package(application.parent)


@_named(CHANGE)
def test_change(fault: Planted, vespa_judge: Judge, tmp_path: Path) -> None:
    previous = render(tmp_path / "running", [VERSION, SECOND], Layout())
    application = render(tmp_path / "next", [VERSION, SECOND], Layout())
    fault.plant(application)
    verdict = vespa_judge.package(application, previous)
    if fault.caught_by == "vespa":
        assert not verdict.ok or any(action.startswith("REFEED") for action in verdict.actions), verdict
        assert fault.words in verdict.error + str(verdict.actions)
    else:
        assert verdict.ok, verdict.error
        assert fault.words in "\n".join(map(str, check_package(application.parent)))


def test_an_attribute_less_in_a_version_that_is_served(vespa_judge: Judge, tmp_path: Path) -> None:
    more = Version(VERSION.bundle_version, 128, {**VERSION.attributes, "colour": "string"})
    previous = render(tmp_path / "running", [more], Layout())
    assert vespa_judge.package(render(tmp_path / "next", [VERSION], Layout()), previous).ok
    with pytest.raises(VersionError, match="make a new version"):
        add_version(tmp_path / "running", VERSION)


@_named(QUERY)
def test_query(fault: Planted, vespa_judge: Judge, vespa_application: Path) -> None:
    good = vespa_judge.query(vespa_application, query_body())
    assert good["ok"], good
    body = query_body()
    fault.plant(body)
    verdict = vespa_judge.query(vespa_application, body)
    if fault.caught_by == "vespa":
        assert not verdict["ok"]
        assert fault.words in verdict["error"]
        return
    assert verdict["ok"], verdict
    if fault.caught_by == "tree":
        assert verdict["tree"] != good["tree"]
        assert verdict["tree"][0] == fault.words
        return
    with pytest.raises(rules.RuleBroken, match=re.escape(fault.words)):
        rules.request(body, 128)


@_named(FEED)
def test_feed(fault: Planted, vespa_judge: Judge, vespa_application: Path) -> None:
    fields = document_fields()
    fault.plant(fields)
    operation = {"method": "POST", "id": f"id:mrse:{TYPE}::a1", "body": json.dumps({"fields": fields})}
    [verdict] = vespa_judge.feed(vespa_application, [operation])["documents"]
    if fault.caught_by == "vespa":
        assert not verdict["ok"]
        assert fault.words in verdict["error"]
        return
    assert verdict["ok"], verdict
    with pytest.raises(rules.RuleBroken, match=re.escape(fault.words)):
        rules.document_fields(fields, VERSION.attributes, 128, whole=True)


def test_the_good_ones_pass(vespa_judge: Judge, vespa_application: Path) -> None:
    assert check_package(vespa_application.parent) == []
    rules.request(query_body(), 128)
    rules.document_fields(document_fields(), VERSION.attributes, 128, whole=True)
    operation = {
        "method": "POST",
        "id": f"id:mrse:{TYPE}::a1",
        "body": json.dumps({"fields": document_fields()}),
    }
    [verdict] = vespa_judge.feed(vespa_application, [operation])["documents"]
    assert verdict["ok"]
