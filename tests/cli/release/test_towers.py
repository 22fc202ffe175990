"""Control and canary in the service's configuration: what else stands there stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.release.plan import PlanError
from cli.release.towers import Side, read_towers, write_towers
from service.settings import SettingsError, load_settings
from service.settings.weights import set_weights

CONFIG = """# ours
[server]
port = 9000  # a port
[bundle]
path = "b0"
[index]
path = "i0"
[experiments.merge.score]
weight = 1
"""
OLD, NEW = Side("b0", "i0"), Side("b1", "i1")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "mrse.toml"
    file.write_text(CONFIG)
    return file


def test_a_canary_comes_and_is_promoted(config: Path) -> None:
    assert read_towers(config).control == OLD
    write_towers(config, OLD, NEW, 0.1, "20261126-020000")
    found = read_towers(config)
    assert (found.control, found.canary) == (OLD, NEW)
    settings = load_settings(config)
    assert {name: arm.weight for name, arm in settings.experiments["towers"].items()} == {
        "control": 0.9,
        "canary": 0.1,
    }
    assert settings.assignment.part("towers").salt == "20261126-020000"
    write_towers(config, NEW)
    settings = load_settings(config)
    assert list(settings.experiments["towers"]) == ["control"]
    assert (str(settings.bundle.path), str(settings.index.path)) == ("b1", "i1")
    assert read_towers(config).control == NEW
    text = config.read_text()
    assert text.startswith("# ours\n[server]\nport = 9000  # a port\n")
    assert "[experiments.merge.score]" in text


def test_a_canary_is_taken_back_and_the_file_is_written_once(config: Path) -> None:
    write_towers(config, OLD, NEW, 0.1)
    write_towers(config, OLD)
    before = config.stat().st_mtime_ns, config.read_text()
    assert read_towers(config).canary is None
    assert load_settings(config).bundle.path == Path("b0")
    write_towers(config, OLD)  # as a killed step that is done again
    assert (config.stat().st_mtime_ns, config.read_text()) == before


def test_a_release_stays_out_of_an_experiment_of_others(config: Path) -> None:
    config.write_text(CONFIG + '[experiments.towers.treatment]\nbundle = "x"\nindex = "y"\n')
    with pytest.raises(PlanError, match=r"experiments\.towers has the arm treatment"):
        read_towers(config)


def test_a_link_stays_one_and_who_could_not_read_it_still_cannot(config: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(config)
    config.chmod(0o600)
    write_towers(link, OLD, NEW, 0.1)
    assert link.is_symlink()
    assert config.stat().st_mode & 0o777 == 0o600
    set_weights(link, "towers", {"canary": 0.0})
    assert link.is_symlink()
    assert config.stat().st_mode & 0o777 == 0o600


def test_nothing_serves_where_nothing_is_named(config: Path) -> None:
    config.write_text("[server]\nport = 1\n")
    assert read_towers(config).control is None
    write_towers(config, NEW)
    assert read_towers(config).control == NEW


def test_what_would_not_be_valid_changes_nothing(config: Path) -> None:
    with pytest.raises(SettingsError, match="salt"):
        write_towers(config, OLD, NEW, 0.1, "no spaces")
    assert config.read_text() == CONFIG
