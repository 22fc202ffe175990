"""Loading a bundle: its behaviours must be the first of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from artifacts.actions import ACTIONS
from artifacts.bundle import Bundle, BundleError
from artifacts.bundle.manifest import MANIFEST_NAME
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
