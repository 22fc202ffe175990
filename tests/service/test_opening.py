"""What is told when deployments are opened."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from index.embedded.build import build_index
from service.app import create_app
from service.recall.calibration import BUILT_IN, Calibration, beside
from tests.service.conftest import Demo
from tests.support import shop
from tests.support.serving import in_process, make_settings

WORDS = {"lexical": {"enabled": True}}


@pytest.fixture(scope="module")
def index(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("words")
    shop.write_embeddings(demo.bundle, root / "embeddings", texts=True)
    build_index(root / "embeddings", root / "index")
    return root / "index"


@pytest.mark.parametrize(
    ("recall", "fitted", "told"),
    [(WORDS, False, 1), (WORDS, True, 0), ({**WORDS, "merge": "rrf"}, False, 0), ({}, False, 0)],
)
async def test_a_built_in_curve_that_words_are_merged_by_is_told(
    demo: Demo, index: Path, recall: dict[str, Any], fitted: bool, told: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "mrse.service")
    if fitted:
        Calibration(bundle=demo.bundle.version, curves=BUILT_IN.curves).write(beside(index))
    try:
        async with in_process(create_app(make_settings(demo.bundle.path, index, recall=recall))):
            pass
    finally:
        beside(index).unlink(missing_ok=True)
    lines = [record for record in caplog.records if "mrse calibrate" in record.getMessage()]
    assert [record.__dict__["bundle"] for record in lines] == [demo.bundle.version] * told
