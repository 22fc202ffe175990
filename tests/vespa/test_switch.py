"""Weights change; nothing else in the operator's file does."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from service.index.vespa.feed.switch import SwitchRefused, switch, weights, with_weights

TEXT = """\
# our shop
[server]
port = 8080  # weight = 3

[experiments.towers.control]  # the old one
bundle = "a"
weight = 1.0   # all of it
[ experiments . "towers" . treatment ]
bundle = "b"
[experiments.merge.control]
weight = 7
"""


def test_only_the_weights_change() -> None:
    changed = with_weights(TEXT, "towers", {"control": 0.9, "treatment": 0.1})
    assert weights(changed, "towers") == {"control": 0.9, "treatment": 0.1}
    assert weights(changed, "merge") == {"control": 7.0}
    assert changed == TEXT.replace("weight = 1.0 ", "weight = 0.9 ").replace(
        "treatment ]\n", "treatment ]\nweight = 0.1\n"
    )


def test_back_and_forth() -> None:
    there = with_weights(TEXT, "towers", {"control": 0.0, "treatment": 1.0})
    assert weights(with_weights(there, "towers", {"control": 1.0, "treatment": 0.0}), "towers") == {
        "control": 1.0,
        "treatment": 0.0,
    }


@pytest.mark.parametrize(
    ("text", "changes", "words"),
    [
        (TEXT, {"other": 1.0}, "no arm other"),
        (TEXT, {"control": -1.0}, "0 or more"),
        (TEXT, {"control": float("nan")}, "0 or more"),
        (TEXT, {"control": 0.0, "treatment": 0.0}, "would have weight"),
        ("x = ", {"control": 1.0}, "not TOML"),
        ("[experiments]\n", {"control": 1.0}, "no experiment"),
        ("[experiments]\ntowers = {control = {weight = 1}}\n", {"control": 2.0}, "by hand"),
        ('[experiments.towers.control]\nx = """\nweight = 1\n"""\n', {"control": 2.0}, "by hand"),
    ],
)
def test_what_cannot_be_done_leaves_the_file(text: str, changes: dict[str, float], words: str) -> None:
    with pytest.raises(SwitchRefused, match=words):
        with_weights(text, "towers", changes)


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "mrse.toml"
    path.write_text(TEXT)
    path.chmod(0o640)
    switch(path, "towers", {"treatment": 0.5})
    assert weights(path.read_text(), "towers")["treatment"] == 0.5
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["mrse.toml"]
