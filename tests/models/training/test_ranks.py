"""Several processes learn what one does with a batch as many times as large; devices that are not there."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models.towers import Config
from models.training import TrainError, loop, ranks, train

PROCESS = Path(__file__).with_name("train_process.py")


ROOT = PROCESS.parents[3]


#: Dropout is drawn by each rank for its own rows, so it is off where ranks are compared with one process.
#: Hard negatives are labels: mined ones change places where two items are equally near but for rounding.
PLAIN = {
    "experts.dropout": 0,
    "fusion.dropout": 0,
    "stage1.steps": 10,
    "stage2.steps": 10,
    "loss.beta": 0.5,
    "loss.hard_after": 0.3,
    "loss.hard_ranks": "[251, 300]",
}


def two_ranks(shop: Path, out: Path, settings: dict[str, object]) -> None:
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(PROCESS)]
    arguments = ["train", str(shop), "--out", str(out), "--preset", "tiny", *sets]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *launcher, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    # Rank 1 says nothing: each stage ends once.
    assert done.stderr.count("stage2: 10/10") == 1


def losses(run: Path, stage: str) -> dict[str, list[float]]:
    with (run / f"{stage}.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def trained(run: Path, stage: str) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(run / f"{stage}.pt", weights_only=True)["module"]
    return weights


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"stage2.expert_rate": 0.1, "experts.share_text_experts": "false", "loss.logq": "true"},
    ],
)
def test_two_ranks_learn_what_one_process_does_with_twice_the_batch(
    shop_path: Path, config: Config, tmp_path: Path, more: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_CURVE_EVERY", 1)
    doubled = {**PLAIN, **more, "stage1.batch": 30, "stage2.batch": 30}
    train(shop_path, tmp_path / "one", config.with_overrides(doubled))
    two_ranks(shop_path, tmp_path / "two", {**doubled, "stage1.batch": 15, "stage2.batch": 15})
    for stage in ("image", "stage1", "stage2"):
        one, two = losses(tmp_path / "one", stage), losses(tmp_path / "two", stage)
        assert one.keys() == two.keys()
        assert one["step"] == two["step"] == list(range(len(one["step"])))
        for name in one:
            np.testing.assert_allclose(two[name], one[name], rtol=1e-4, atol=1e-5, err_msg=f"{stage} {name}")
    for stage in ("stage1", "stage2"):
        expected, actual = trained(tmp_path / "one", stage), trained(tmp_path / "two", stage)
        for name, weight in expected.items():
            # The bias of an attention's keys changes nothing, so that its gradient is rounding alone.
            if not name.endswith("attention.qkv.bias"):
                gap = float((actual[name] - weight).abs().max())
                assert gap < 1e-3, (stage, name, gap)
    smaller = config.with_overrides({**doubled, "stage1.batch": 15, "stage2.batch": 15})
    with pytest.raises(TrainError, match="2 processes"):
        train(shop_path, tmp_path / "two", smaller)


def test_one_process_shares_and_gathers_nothing() -> None:
    rows = torch.arange(6.0)
    assert ranks.share(6) == slice(None)
    assert ranks.gather(rows, 6) is rows
    assert ranks.count() == 1
    assert ranks.leads()
    assert ranks.spread_seed(5) == ranks.agreed(5) == 5
    with ranks.joined("cpu") as device, ranks.leader_first(), ranks.alone():
        assert device == "cpu"


@pytest.mark.parametrize(
    ("device", "message"),
    [("cuda", "no CUDA device"), ("gpu", "knows no such device"), ("mps", "only cpu and cuda")],
)
def test_a_device_that_is_not_there_is_named(
    device: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ranks.DeviceError, match=message), ranks.joined(device):
        pass


def test_a_gpu_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert ranks.usable("cuda:1") == "cuda:1"
    with pytest.raises(ranks.DeviceError, match="only 2"):
        ranks.usable("cuda:2")
