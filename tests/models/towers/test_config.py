import json
from typing import get_args

import pytest
import torch

from models.towers.config import Config, ConfigError, PresetName
from models.towers.experts import EXPERTS, Expert
from models.towers.presets import NEEDS, PRESETS, preset


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_their_json(name: str) -> None:
    config = preset(name)
    assert config.preset == name
    assert Config.model_validate_json(config.model_dump_json()) == config
    widths = {"tiny": config.dimensions.embedding_dim, "pretrained-text": 256}
    assert config.dimensions.embedding_dim == widths.get(name, 128)


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
        ({"fusion.gate_start": [0.5, 0.5, 0.0]}, "fusion.gate_start.2"),  # its logarithm is infinite
        ({"fusion.gate_start": [1.0, float("inf"), 1.0]}, "fusion.gate_start.1"),
    ],
)
def test_wrong_overrides_are_named(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        preset("demo").with_overrides(overrides)


def test_unknown_preset() -> None:
    with pytest.raises(ConfigError, match=r"huge.*pretrained-image"):
        preset("huge")


def test_every_preset_has_a_name_that_a_configuration_may_have() -> None:
    assert tuple(PRESETS) == get_args(PresetName)
    assert NEEDS.keys() <= PRESETS.keys()
    for name, needs in NEEDS.items():
        for key in needs:
            preset(name).with_overrides({key: "somewhere"})


def test_the_fingerprint_is_of_what_matters() -> None:
    base = preset("tiny")
    assert base.fingerprint() == base.with_overrides({"checkpoint_minutes": 60}).fingerprint()
    assert base.fingerprint() != base.with_overrides({"seed": 8}).fingerprint()


def test_every_expert_has_a_switch_and_a_place_in_the_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Expert("toy", "Toy", build=lambda sizes: torch.nn.Identity(), inputs=("picture",))
    monkeypatch.setitem(EXPERTS, "toy", toy)
    config = preset("tiny")
    assert config.dimensions.experts == (*list(EXPERTS)[:-1], "toy")
    assert config.switches.expert("toy")
    off = config.with_overrides({"switches.toy": "false"})
    assert not off.switches.expert("toy")
    assert Config.read(json.loads(off.model_dump_json())) == off
    stored = json.loads(config.model_dump_json())
    monkeypatch.delitem(EXPERTS, "toy")
    with pytest.raises(ConfigError, match="'toy'"):
        Config.read(stored)
    with pytest.raises(ConfigError, match="no expert 'toy' is registered"):
        preset("tiny").with_overrides({"dimensions.experts": '["toy"]'})
