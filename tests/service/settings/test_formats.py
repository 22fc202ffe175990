"""Settings files of earlier versions are read; every change of a key adds one to ``formats``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from service.settings import effective, load_settings
from service.settings.load import SettingsError

FILES = sorted((Path(__file__).parent / "formats").glob("*.toml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_earlier_file_means_what_it_meant(file: Path) -> None:
    shown = effective(load_settings(file))
    for group, values in tomllib.loads(file.read_text()).items():
        _same(values, shown[group])


def _same(written: dict[str, Any], shown: dict[str, Any]) -> None:
    for key, value in written.items():
        if isinstance(value, dict):
            _same(value, shown[key])
        else:
            assert shown[key] == value, key


def test_a_key_of_a_later_version_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "mrse.toml"
    file.write_text("[server]\nhover = true\n")
    with pytest.raises(SettingsError, match=r"mrse\.toml: server\.hover: there is no such key"):
        load_settings(file)
