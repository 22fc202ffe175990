"""Weights of a pretrained BERT train at their own rate, and rest."""

from pathlib import Path

from models.towers import Config, Towers, preset
from models.training.pretrained import resolve
from models.training.rates import expert_groups, resting
from tests.support.pretrained import write_bert


def pretrained(folder: Path, layers: int = 2, **more: object) -> Config:
    overrides = {"experts.bert": str(folder), "experts.layers": layers, **more}
    return resolve(preset("tiny").with_overrides(overrides))[0]


def test_pretrained_weights_train_at_their_own_rate_and_rest(tmp_path: Path) -> None:
    write_bert(tmp_path)
    config = pretrained(tmp_path, **{"experts.pretrained_rate": 0.1, "experts.pretrained_every": 3})
    towers = Towers(config, 70)
    own, theirs = expert_groups(towers, config, 0.5)
    assert (own["factor"], theirs["factor"]) == (0.5, 0.05)
    counted = [id(p) for group in (own, theirs) for p in group["params"]]
    assert sorted(counted) == sorted(id(p) for p in towers.expert_parameters())
    slow = {id(p) for p in theirs["params"]}
    assert id(towers.query_experts.light_bert.blocks[0].attention.qkv.weight) in slow
    assert id(towers.query_experts.light_bert.project.weight) not in slow
    assert [bool(resting(config, step)) for step in range(4)] == [False, True, True, False]
    assert all(resting(pretrained(tmp_path, **{"experts.pretrained_every": 0}), step) for step in range(3))
    assert not resting(preset("tiny"), 1)
