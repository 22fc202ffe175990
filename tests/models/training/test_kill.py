"""A run that is killed (SIGKILL) at random moments of every stage ends as one that was left alone."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from models.towers import Config
from models.training import load_finished, loop, train

PROCESS = Path(__file__).with_name("train_process.py")
ROOT = PROCESS.parents[3]
#: Everything that has a state of its own: averages, and the best weights by val Recall.
SETTINGS = {
    "image.epochs": 3,
    "stage1.steps": 24,
    "stage2.steps": 24,
    "stage1.ema": 0.9,
    "stage2.ema": 0.9,
    "validation.every": 5,
    "validation.patience": 0,
    "validation.at": 10,
    # Mined anew several times, in both stages.
    "loss.mine_experts": True,
    "loss.hard_ranks": [1, 100],
    "loss.hard_after": 0.2,
    "loss.hard_share": 0.3,
    "stage1.refresh_every": 7,
    "stage2.refresh_every": 7,
    "fusion.start": "distilled",
    "distil.made_queries": 400,
    "distil.steps": 24,
    "distil.batch": 64,
}


def killed(shop: Path, out: Path, stage: str, rows: int, later: float) -> int:
    """Train until a stage's curve has so many rows and some time more, kill, and give the exit status."""
    sets = [part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")]
    command = ["train", str(shop), "--out", str(out), "--preset", "tiny", *sets]
    process = subprocess.Popen(
        # Checkpoints several times a second: steps are lost, and none from the beginning.
        [sys.executable, str(PROCESS), *command, "--set", "checkpoint_minutes=0.003", "--set", "threads=1"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
    )
    curve = out / f"{stage}.csv"
    while process.poll() is None and (not curve.is_file() or curve.read_bytes().count(b"\n") <= rows):
        time.sleep(0.002)
    time.sleep(later)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode


@pytest.mark.slow
def test_a_run_killed_at_random_ends_as_one_left_alone(
    shop_path: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_CURVE_EVERY", 1)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    chosen = config.with_overrides(SETTINGS)
    train(shop_path, whole, chosen)
    seed = random.SystemRandom().randrange(2**32)
    draw = random.Random(seed)
    moments = []
    for stage, steps in (("image", 13), ("stage1", 16), ("distil", 16), ("stage2", 16)):
        rows = draw.randint(1, steps)
        moments.append((stage, rows, draw.uniform(0, 0.1)))
    for moment in moments:
        assert killed(shop_path, broken, *moment) == -signal.SIGKILL, (seed, moments)
        assert not (broken / "summary.json").exists(), (seed, moments)
    train(shop_path, broken, chosen)
    one, two = load_finished(whole), load_finished(broken)
    for left, right in ((one.towers, two.towers), (one.image_encoder, two.image_encoder)):
        expected, actual = left.state_dict(), right.state_dict()
        assert all(torch.equal(expected[name], actual[name]) for name in expected), (seed, moments)
    for name in ("image.csv", "stage1.csv", "distil.csv", "stage2.csv", "stage2-val.csv"):
        assert (whole / name).read_text() == (broken / name).read_text(), (seed, moments, name)
