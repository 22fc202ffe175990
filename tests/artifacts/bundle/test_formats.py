"""Manifests of earlier bundles are read; every change of the format adds one to ``formats``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from artifacts.bundle.loader import BundleError, read_manifest
from artifacts.bundle.manifest import MANIFEST_NAME, canonical, content_version

FILES = sorted((Path(__file__).parent / "formats").glob("*.json"))


def _folder(tmp_path: Path, content: dict[str, Any]) -> Path:
    (tmp_path / MANIFEST_NAME).write_text(canonical(content), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_earlier_manifest_keeps_its_version(file: Path, tmp_path: Path) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    manifest = read_manifest(_folder(tmp_path, content))
    assert manifest.version == content["version"] == content_version(content)
    # A key that came later has the value that says what was done then.
    before = content["preprocessing"].get("same_search_minutes", 0)
    assert manifest.preprocessing.same_search_minutes == before
    assert not manifest.preprocessing.one_slot


def test_a_later_format_is_refused_with_a_sentence(tmp_path: Path) -> None:
    content = json.loads(FILES[-1].read_text(encoding="utf-8"))
    later = _folder(tmp_path, content | {"format": 3})
    with pytest.raises(BundleError, match="is of format 3; this version of MRSE Recall reads format 2"):
        read_manifest(later)


def test_a_key_of_a_later_version_is_refused_by_name(tmp_path: Path) -> None:
    content = json.loads(FILES[-1].read_text(encoding="utf-8"))
    with pytest.raises(BundleError, match=r"manifest\.json: hover: Extra inputs are not permitted"):
        read_manifest(_folder(tmp_path, content | {"hover": 1}))
