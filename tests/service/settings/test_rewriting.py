"""A configuration file that is rewritten stays as it was but for what changes, and is on disk."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from common.files import file_stamp
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
    assert {path.name for path in config.parent.iterdir()} <= {"mrse.toml", ".mrse.toml.lock"}


def test_two_commands_that_change_it_at_once_both_count(config: Path) -> None:
    started = threading.Event()

    def other() -> None:
        started.set()
        set_weights(config, "i2i", {"off": 7.0})

    second = threading.Thread(target=other)

    def change(document: Any) -> None:
        second.start()
        started.wait()
        second.join(0.05)  # time to do what it must not do yet
        document["experiments"]["i2i"]["on"]["weight"] = 5.0

    rewrite(config, change)
    second.join()
    arms = load_settings(config).experiments["i2i"]
    assert (arms["on"].weight, arms["off"].weight) == (5.0, 7.0)


def test_it_is_written_again_where_nothing_changes_if_that_is_asked_for(config: Path) -> None:
    before = file_stamp(config)
    rewrite(config, lambda document: None)
    assert file_stamp(config) == before
    rewrite(config, lambda document: None, again=True)
    assert file_stamp(config) != before  # which is what a service that watches it goes by
    assert config.read_text() == CONFIG


def test_a_link_stays_one_and_the_lock_lies_beside_what_it_leads_to(config: Path, tmp_path: Path) -> None:
    linked = tmp_path / "etc/mrse.toml"
    linked.parent.mkdir()
    linked.symlink_to(config)
    set_weights(linked, "i2i", {"on": 2.0})
    assert linked.is_symlink()
    assert load_settings(config).experiments["i2i"]["on"].weight == 2.0
    assert [path.name for path in linked.parent.iterdir()] == ["mrse.toml"]


def test_a_folder_in_which_nothing_can_be_made_is_told(config: Path) -> None:
    config.with_name(".mrse.toml.lock").mkdir()
    with pytest.raises(SettingsError, match=r"it cannot be rewritten: .*\.mrse\.toml\.lock"):
        set_weights(config, "i2i", {"on": 2.0})
    assert config.read_text() == CONFIG
