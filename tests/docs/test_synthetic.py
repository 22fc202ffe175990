"""The page of the synthetic shop says the constants as the code has them."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from models.ablation.matrix import SHOP_SWEEPS, cells
from models.synthetic.queries import picture_only_share
from models.towers import preset

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "synthetic.md").read_text()
ROW = re.compile(r"^\|[^|]*\| `(_?[A-Z_]+)`[^|]*\| ([\d., ]+) \| `(\w+)` \|$", re.MULTILINE)


def test_the_page_names_constants_with_their_values() -> None:
    rows = ROW.findall(PAGE)
    assert len(rows) >= 10
    for name, said, module in rows:
        value = getattr(import_module(f"models.synthetic.{module}"), name)
        values = value if isinstance(value, tuple) else (value,)
        assert [float(part) for part in said.split(",")] == pytest.approx(values), name


def test_the_page_says_the_dials_and_the_runs_of_their_sweeps() -> None:
    assert picture_only_share() == pytest.approx(0.35)
    assert f"| {picture_only_share():g} | the shares in `KINDS`" in PAGE
    for sweep in SHOP_SWEEPS:
        for value in sweep.values:
            assert f"{value:g}" in PAGE
    count = len(cells(preset("demo"), [sweep.group for sweep in SHOP_SWEEPS]))
    assert f"{count} a seed" in PAGE.replace("\n", " ")
