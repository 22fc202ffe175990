"""A configuration file that is rewritten stays as it was but for what changes, and is on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from service.settings import SettingsError, load_settings
from service.settings.rewriting import rewrite
from service.settings.weights import remove_arms, set_weights

CONFIG = """# ours
[experiments.i2i.on]  # as it was
weight = 1
[experiments.i2i.off]
weight = 3
recall = {i2i = {enabled = false}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "mrse.toml"
    file.write_text(CONFIG)
    return file


def test_file_and_name_are_on_disk_when_it_returns(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", noted)
    set_weights(config, "i2i", {"on": 2.0})
    assert synced == [".partial-mrse.toml", config.parent.name]
    set_weights(config, "i2i", {"on": 2.0})  # nothing changes
    assert len(synced) == 2


def test_weights_and_arms_change_and_comments_stay(config: Path) -> None:
    set_weights(config, "i2i", {"off": 0.0})
    assert config.read_text() == CONFIG.replace("weight = 3", "weight = 0.0")
    remove_arms(config, "i2i", ["off"])
    assert list(load_settings(config).experiments["i2i"]) == ["on"]
    assert config.read_text().startswith("# ours\n[experiments.i2i.on]  # as it was\n")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda file: set_weights(file, "i3i", {"on": 1.0}), "there is no experiment 'i3i'"),
        (lambda file: set_weights(file, "i2i", {"of": 1.0}), "no arm 'of' in 'i2i'; it has on, off"),
        (lambda file: remove_arms(file, "i2i", ["of"]), "no arm 'of'"),
        (lambda file: set_weights(file, "i2i", {"on": -1.0}), "weight"),
        (lambda file: rewrite(file.with_name("gone"), print), "gone: "),
    ],
)
def test_what_cannot_be_changes_nothing(config: Path, change: Any, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        change(config)
    assert config.read_text() == CONFIG
    assert [path.name for path in config.parent.iterdir()] == ["mrse.toml"]
