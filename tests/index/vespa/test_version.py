"""What a version file holds, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from index.vespa.version import Version, VersionError
from index.vespa.words import TextSpec

VERSION = Version("demo-1a2b3c4d", 128, {"price": "number"})


def test_a_version_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "item.json"
    path.write_text(VERSION.to_json())
    assert Version.read(path) == VERSION
    assert VERSION.attributes == {"category": "list", "price": "number"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"document_type": "item_other"}, "document_type is 'item_other'"),
        ({"dimension": 0}, "dimension 0"),
        ({"dimension": "wide"}, "no version file"),
        ({"features": [0, 32]}, "features of shape 0, 32"),
        ({"features": 4}, "no version file"),
        ({"attributes": {"price": "money"}}, "money"),
        ({"attributes": {"category": "string"}}, "category is a list"),
        ({"attributes": None}, "no version file"),
    ],
)
def test_files_that_are_refused(change: dict[str, object], words: str, tmp_path: Path) -> None:
    path = tmp_path / "item.json"
    path.write_text(json.dumps(json.loads(VERSION.to_json()) | change))
    with pytest.raises(VersionError, match=words) as raised:
        Version.read(path)
    assert str(path) in str(raised.value)


def test_a_graph_over_int8_is_a_type_of_its_own_that_clients_of_before_refuse(tmp_path: Path) -> None:
    path = tmp_path / "item.json"
    assert "vectors" not in json.loads(VERSION.to_json())
    coarse = replace(VERSION, vectors="int8")
    assert (VERSION.document_type, coarse.document_type) == ("item_demo_1a2b3c4d", "item_demo_1a2b3c4d_int8")
    path.write_text(coarse.to_json())
    assert Version.read(path) == coarse != VERSION
    # Who knows no `vectors` expects the plain type, and must not search a field that has no graph.
    path.write_text(json.dumps({**json.loads(coarse.to_json()), "vectors": "bfloat16"}))
    with pytest.raises(VersionError, match="is 'item_demo_1a2b3c4d_int8', 'item_demo_1a2b3c4d' was"):
        Version.read(path)
    path.write_text(json.dumps({**json.loads(coarse.to_json()), "vectors": "int4"}))
    with pytest.raises(VersionError, match="bfloat16 or int8, not 'int4'"):
        Version.read(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(VersionError, match=r"item\.json"):
        Version.read(tmp_path / "item.json")


def test_texts_are_part_of_a_version_where_it_has_some(tmp_path: Path) -> None:
    path = tmp_path / "item.json"
    assert "texts" not in json.loads(VERSION.to_json())
    wordy = Version("demo-1a2b3c4d", 128, {}, TextSpec(("title",), "german"))
    path.write_text(wordy.to_json())
    assert Version.read(path) == wordy
    for wrong in ({"language": "klingon"}, {"fields": []}, {"rules": 99}):
        content = json.loads(wordy.to_json())
        content["texts"] |= wrong
        path.write_text(json.dumps(content))
        with pytest.raises(VersionError, match="no version file"):
            Version.read(path)


def test_a_version_of_the_rules_before_is_fed_and_asked_by_them(tmp_path: Path) -> None:
    path = tmp_path / "item.json"
    wordy = Version("demo-1a2b3c4d", 128, {}, TextSpec(("title",), "english"))
    content = json.loads(wordy.to_json())
    content["texts"]["rules"] = 1
    path.write_text(json.dumps(content))
    texts = Version.read(path).texts
    assert texts is not None
    assert texts.query('24" monitor') == texts.item({"title": '24" monitor'}, {}) == ["24", "monitor"]
    assert wordy.texts is not None
    assert wordy.texts.query('24" monitor') == ["24", "24inch", "monitor"]
