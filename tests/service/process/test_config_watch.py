"""A configuration file that changes is read again, once it stands still."""

from __future__ import annotations

import os
from pathlib import Path

from service.process.config_watch import ConfigWatch


def test_a_change_is_told_once_and_not_before_the_file_stands_still(tmp_path: Path) -> None:
    file, told = tmp_path / "mrse.toml", []
    file.write_text("a")
    watch = ConfigWatch(file, lambda: told.append(file.read_text()))
    watch.look()
    assert told == []
    file.write_text("half")
    watch.look()
    file.write_text("whole text")
    watch.look()
    assert told == []
    watch.look()
    watch.look()
    assert told == ["whole text"]
    file.unlink()
    watch.look()
    watch.look()
    assert told == ["whole text"]
    file.write_text("back again")
    watch.look()
    watch.look()
    assert told == ["whole text", "back again"]


def test_a_mounted_file_is_a_link_whose_target_is_replaced(tmp_path: Path) -> None:
    told: list[int] = []
    for name in ("one", "two"):
        (tmp_path / name).write_text("same length")
        os.utime(tmp_path / name, ns=(1, 1))
    file = tmp_path / "mrse.toml"
    file.symlink_to("one")
    watch = ConfigWatch(file, lambda: told.append(1))
    file.unlink()
    file.symlink_to("two")
    watch.look()
    watch.look()
    assert told == [1]
