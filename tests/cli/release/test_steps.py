"""What the steps do beside the commands that they run."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.release.steps import _keeps_curves
from service.recall.calibration import Calibration, beside
from tests.cli.release.made import Folder


@pytest.mark.parametrize(("bundle", "kept"), [("old", True), ("new", False)])
def test_an_index_of_the_bundle_that_serves_keeps_the_curves_of_the_one_before(
    made: Folder, bundle: str, kept: bool
) -> None:
    Calibration(bundle="old").write(beside(made.folder / "old-index"))
    made.bundle = bundle
    release = made.begin(made.told.append)
    release.folder.mkdir(parents=True, exist_ok=True)
    assert _keeps_curves(release) is kept
    assert beside(Path(release.index)).is_file() is kept
