"""Rendering packages: what is written and what is refused; for Vespa's verdict see devtools/vespa_peer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from index.vespa.package.layout import Layout, Tls
from index.vespa.package.render import (
    add_version,
    application_folder,
    drop_version,
    read_layout,
    render,
    with_titles,
)
from index.vespa.package.rules import check_package
from index.vespa.version import Version, VersionError, find_version, read_versions
from tests.index.vespa.package.schema_rules import schema_problems

VERSION = Version(
    "demo-1a2b3c4d", 128, {"brand": "string", "price": "number", "in_stock": "bool", "tags": "list"}
)
SECOND = Version("demo-deadbeef", 64, {"price": "number"})
PRODUCTION = Layout(
    config=("c1", "c2", "c3"),
    query=("q1", "q2"),
    feed=("f1",),
    groups=(("a1", "a2", "a3"), ("b1", "b2", "b3")),
)
TLS = replace(PRODUCTION, tls=Tls("/etc/vespa/key.pem", "/etc/vespa/cert.pem", "/etc/vespa/ca.pem"))
ONE_GROUP = Layout(
    config=("c1",),
    query=("n1",),
    feed=("n1",),
    groups=(("a1", "a2", "a3"),),
    feed_port=8081,
    copies=2,
    query_heap_mb=4096,
    feed_heap_mb=2048,
    feed_concurrency=0.4,
    disk_limit=0.7,
    memory_limit=0.75,
)
TODAY = datetime.now(UTC).date()


@pytest.mark.parametrize("layout", [Layout(), Layout(port=9000), PRODUCTION, TLS, ONE_GROUP])
def test_versions_come_and_go_on_the_same_hosts(layout: Layout, tmp_path: Path) -> None:
    render(tmp_path, [VERSION], layout)
    application = add_version(tmp_path, SECOND)
    assert check_package(tmp_path) == []
    assert schema_problems(application) == []
    application = drop_version(tmp_path, VERSION, TODAY)
    assert check_package(tmp_path) == []
    assert schema_problems(application) == []
    assert read_layout(tmp_path) == layout
    assert read_versions(tmp_path) == [SECOND]


def test_titles_are_kept_where_that_is_said_and_never_added_to_a_version_that_is_there(
    tmp_path: Path,
) -> None:
    titled = replace(SECOND, titles=True)
    add_version(tmp_path, VERSION, Layout())
    application = add_version(tmp_path, titled)
    assert schema_problems(application) == []
    schemas = {path.stem: path.read_text() for path in (application / "schemas").iterdir()}
    assert "document-summary item_titles" in schemas[SECOND.document_type]
    assert "itemTitle" not in schemas[VERSION.document_type]
    assert find_version(tmp_path, SECOND.bundle_version).titles
    assert add_version(tmp_path, SECOND) == application, "it goes on with titles"
    assert find_version(tmp_path, SECOND.bundle_version).titles
    with pytest.raises(VersionError, match="is there without titles"):
        add_version(tmp_path, replace(VERSION, titles=True))
    assert not with_titles(tmp_path, VERSION).titles
    assert with_titles(tmp_path, SECOND).titles
    assert with_titles(tmp_path / "new", VERSION).titles


def test_item_features_are_kept_where_that_is_said(tmp_path: Path) -> None:
    keeps = replace(SECOND, features=(4, 32))
    add_version(tmp_path, VERSION, Layout())
    application = add_version(tmp_path, keeps)
    assert schema_problems(application) == []
    schema = (application / "schemas" / f"{SECOND.document_type}.sd").read_text()
    assert "field itemFeatures type tensor<int8>(b[256])" in schema
    assert "document-summary item_features" in schema
    assert find_version(tmp_path, SECOND.bundle_version).features == (4, 32)
    assert add_version(tmp_path, SECOND) == application, "it goes on with features"
    assert find_version(tmp_path, SECOND.bundle_version).features == (4, 32)
    with pytest.raises(VersionError, match="is there without features"):
        add_version(tmp_path, replace(VERSION, features=(4, 32)))


def test_versions_of_one_bundle_over_int8_and_bfloat16_stand_side_by_side(tmp_path: Path) -> None:
    coarse = replace(VERSION, vectors="int8")
    add_version(tmp_path, VERSION, Layout())
    application = add_version(tmp_path, coarse)
    assert schema_problems(application) == []
    assert check_package(tmp_path) == []
    assert read_versions(tmp_path) == [VERSION, coarse]
    with pytest.raises(VersionError, match=r"item_demo_1a2b3c4d, item_demo_1a2b3c4d_int8 of .*--vectors"):
        find_version(tmp_path, VERSION.bundle_version)
    assert find_version(tmp_path, VERSION.bundle_version, "int8") == coarse
    assert find_version(tmp_path, VERSION.document_type) == VERSION
    schemas = {path.stem: path.read_text() for path in (application / "schemas").iterdir()}
    assert "embeddingInt8" not in schemas[VERSION.document_type]
    assert "paged" in schemas[coarse.document_type]


def test_rendering_again_changes_nothing(tmp_path: Path) -> None:
    application = render(tmp_path, [VERSION, SECOND], PRODUCTION)
    before = {path: path.read_bytes() for path in application.rglob("*") if path.is_file()}
    assert add_version(tmp_path, VERSION, PRODUCTION) == application_folder(tmp_path)
    assert {path: path.read_bytes() for path in application.rglob("*") if path.is_file()} == before


def test_a_group_of_its_own_keeps_copies_and_shares_hosts(tmp_path: Path) -> None:
    services = (render(tmp_path, [VERSION], ONE_GROUP) / "services.xml").read_text()
    for element in (
        "<min-redundancy>2<",
        "<searchable-copies>2<",
        'id="query" port="8080"',
        'id="feed" port="8081"',
        '<jvm options="-Xms4096m -Xmx4096m"/>',
        '<jvm options="-Xms2048m -Xmx2048m"/>',
        "<concurrency>0.4<",
        "<disk>0.7<",
        "<memory>0.75<",
    ):
        assert element in services


def test_what_cannot_be_rendered_is_said(tmp_path: Path) -> None:
    render(tmp_path, [VERSION], Layout())
    with pytest.raises(VersionError, match="make a new version"):
        add_version(tmp_path, Version(VERSION.bundle_version, 128, {}), Layout())
    with pytest.raises(VersionError, match="the only version"):
        drop_version(tmp_path, VERSION, TODAY)
    assert find_version(tmp_path, VERSION.bundle_version) == find_version(tmp_path, VERSION.document_type)
    with pytest.raises(VersionError, match="has no version 'item_nope'; it has item_demo_1a2b3c4d"):
        find_version(tmp_path, "item_nope")
    with pytest.raises(VersionError, match="holds no version"):
        find_version(tmp_path / "empty", "item_nope")
    (tmp_path / "versions" / "item_broken.json").write_text("{}")
    with pytest.raises(VersionError, match="item_broken"):
        read_versions(tmp_path)


@pytest.mark.parametrize(("groups", "minimum", "wait"), [(1, "0.4", "0.3"), (2, "0.95", "1")])
def test_one_group_answers_with_less_but_waits_for_its_last_node(
    groups: int, minimum: str, wait: str, tmp_path: Path
) -> None:
    layout = replace(PRODUCTION, groups=PRODUCTION.groups[:groups])
    services = (render(tmp_path, [VERSION], layout) / "services.xml").read_text()
    assert f"<minimum>{minimum}</minimum>" in services
    assert f"<min-wait-after-coverage-factor>{wait}<" in services
    assert check_package(tmp_path) == []
