"""Loading a bundle: its behaviours must be the first of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from artifacts.actions import ACTIONS
from artifacts.bundle import Bundle, BundleError
from artifacts.bundle.manifest import MANIFEST_NAME, TOKENIZER_NAME, file_entry
from tests.support.bundle import make_bundle


def with_behaviours(folder: Path, behaviours: tuple[str, ...]) -> None:
    manifest = make_bundle(folder, ["red shoe"]).manifest
    changed = manifest.model_copy(update={"behaviours": behaviours, "version": ""}).versioned()
    (folder / MANIFEST_NAME).write_text(changed.to_json(), encoding="utf-8")


def test_a_bundle_may_know_fewer_behaviours_than_we_do(tmp_path: Path) -> None:
    with_behaviours(tmp_path / "bundle", ACTIONS.behaviours[:-1])
    assert Bundle.load(tmp_path / "bundle").manifest.behaviours == ACTIONS.behaviours[:-1]


@pytest.mark.parametrize("trained", [(*ACTIONS.behaviours, "wish"), ACTIONS.behaviours[::-1]])
def test_a_bundle_of_other_behaviours_is_refused(tmp_path: Path, trained: tuple[str, ...]) -> None:
    with_behaviours(tmp_path / "bundle", trained)
    with pytest.raises(BundleError) as caught:
        Bundle.load(tmp_path / "bundle")
    assert ", ".join(trained) in str(caught.value)
    assert f"this installation's: {', '.join(ACTIONS.behaviours)}" in str(caught.value)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("dimensions", {"expert_dim": 2**31}),
        ("dimensions", {"embedding_dim": 0}),
        ("dimensions", {"history": 2**31}),
        ("picture", {"side": 10**9}),
        ("picture", {"feature_dim": 2**40}),
        ("text", {"max_query_tokens": 2**31}),
    ],
)
def test_sizes_that_no_memory_holds_are_refused(tmp_path: Path, part: str, change: dict[str, int]) -> None:
    manifest = make_bundle(tmp_path / "bundle", ["red shoe"]).manifest
    spec = getattr(manifest, part).model_copy(update=change)
    changed = manifest.model_copy(update={part: spec, "version": ""}).versioned()
    (tmp_path / "bundle" / MANIFEST_NAME).write_text(changed.to_json(), encoding="utf-8")
    with pytest.raises(BundleError, match=rf"manifest\.json: {part}\.{next(iter(change))}: .*or equal to"):
        Bundle.load(tmp_path / "bundle")


@pytest.mark.parametrize("content", ["{}", "[]", "no JSON", ""])
def test_a_tokenizer_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    manifest = make_bundle(tmp_path / "bundle", ["red shoe"]).manifest
    (tmp_path / "bundle" / TOKENIZER_NAME).write_text(content)
    files = {**manifest.files, TOKENIZER_NAME: file_entry(tmp_path / "bundle" / TOKENIZER_NAME)}
    changed = manifest.model_copy(update={"files": files, "version": ""}).versioned()
    (tmp_path / "bundle" / MANIFEST_NAME).write_text(changed.to_json(), encoding="utf-8")
    with pytest.raises(BundleError, match=r"tokenizer\.json is no tokenizer"):
        Bundle.load(tmp_path / "bundle")
