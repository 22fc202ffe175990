import hashlib
import json

import pytest

from models.towers.config import _LATER, Config, ConfigError
from models.towers.presets import preset


@pytest.mark.parametrize("name", ["tiny", "demo", "paper"])
def test_presets_survive_their_json(name: str) -> None:
    config = preset(name)
    assert config.preset == name
    assert Config.model_validate_json(config.model_dump_json()) == config
    assert config.dimensions.embedding_dim == 128 or name == "tiny"


def test_overrides_from_the_command_line() -> None:
    config = preset("demo").with_overrides(
        {"image.epochs": "40", "image.stem": "[16, 32]", "switches.gate": "false", "stage1.rate": 0.5}
    )
    assert config.image.epochs == 40
    assert config.image.stem == (16, 32)
    assert config.switches.gate is False
    assert config.stage1.rate == 0.5
    assert preset("demo").image.epochs != 40


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"image.epoch": 1}, "image.epoch"),
        ({"nothing": 1}, "nothing"),
        ({"seed.more": 1}, "seed.more"),
        ({"image.epochs": "many"}, "image.epochs"),
    ],
)
def test_wrong_overrides_are_named(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        preset("demo").with_overrides(overrides)


def test_unknown_preset() -> None:
    with pytest.raises(ConfigError, match="huge"):
        preset("huge")


def test_the_fingerprint_is_of_what_matters() -> None:
    base = preset("tiny")
    assert base.fingerprint() == base.with_overrides({"checkpoint_minutes": 60}).fingerprint()
    assert base.fingerprint() != base.with_overrides({"seed": 8}).fingerprint()


def test_values_that_came_later_leave_the_fingerprint_of_runs_begun_before() -> None:
    base = preset("tiny")
    before = base.model_dump(mode="json") | {"checkpoint_minutes": 0.0}
    for key in _LATER:
        *parents, last = key.split(".")
        owner = before
        for name in parents:
            owner = owner[name]
        del owner[last]
    content = json.dumps(before, separators=(",", ":"), ensure_ascii=False)
    assert base.fingerprint() == hashlib.sha256(content.encode()).hexdigest()[:16]
    for key, value in {
        "bf16": False,
        "experts.kind": "single",
        "stage2.ema": 0.9,
        "validation.every": 5,
    }.items():
        assert base.with_overrides({key: value}).fingerprint() != base.fingerprint()
