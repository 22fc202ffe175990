"""The training loop of a stage: AdamW, cosine schedule, clipping, checkpoints, exact resume.

Every random draw of a step comes from generators seeded by (seed, stage, step). So a step depends only on
the weights, the optimiser's state and its own number, and resuming gives the same losses. Where several
processes train (`models.training.ranks`), rank 0 alone writes files and tells of progress.
"""

from __future__ import annotations

import csv
import logging
import math
import time
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.files import replacing
from models.towers.training_config import StageConfig
from models.training import ranks
from models.training.averaging import Average
from models.training.early_stop import EarlyStop
from models.training.precision import mixed
from models.training.run import Run, TrainStopped

_log = logging.getLogger("mrse.training")

#: A step's losses by name; the first one is what is minimised.
Losses = dict[str, Tensor]
_CURVE_EVERY = 10


def rate_factor(knobs: StageConfig, step: int) -> float:
    """The learning rate at a step over the full one: linear warm-up, then a cosine down to 0."""
    warm = max(1, int(knobs.steps * knobs.warmup))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, knobs.steps - warm)))


def step_numbers(seed: int, stage: str, step: int) -> tuple[np.random.Generator, int, int]:
    """A step's generator, and the seeds of torch's global generator and of a generator of torch's own."""
    rng = np.random.default_rng((seed, zlib.crc32(stage.encode()), step))
    return rng, int(rng.integers(2**62)), int(rng.integers(2**62))


class Stage:
    """A stage of a run: where it stands, and its loop."""

    def __init__(self, name: str, run: Run) -> None:
        self.name, self._run = name, run
        self.checkpoint = run.folder / f"{name}.pt"

    @property
    def finished(self) -> bool:
        """Whether the stage has run to its end before."""
        return self.checkpoint.is_file() and bool(self._load()["finished"])

    def load(self, module: nn.Module, among: tuple[str, ...] = ()) -> None:
        """Load the weights of the last checkpoint; where ``among`` is given, those that begin so alone."""
        weights = self._load()["module"]
        if among:
            weights = {**module.state_dict(), **{n: w for n, w in weights.items() if n.startswith(among)}}
        module.load_state_dict(weights)

    def shape_of(self, weight: str) -> tuple[int, ...]:
        """Shape of a weight of the last checkpoint."""
        return tuple(self._load()["module"][weight].shape)

    def run(
        self,
        module: nn.Module,
        groups: list[dict[str, Any]],
        knobs: StageConfig,
        losses: Callable[[int, np.random.Generator, torch.Generator], Losses],
        early_stop: EarlyStop | None = None,
        times: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        """Train a module, from the last checkpoint where there is one.

        Args:
            module: everything whose weights are saved.
            groups: what is trained: ``params``, and the ``factor`` of the stage's rate at which they are.
            knobs: steps and rates.
            losses: called with the step's number and generators; gives its losses.
            early_stop: keeps the best weights and may end the stage early.
            times: what the host took a step since it was called last, in ms; goes to ``<stage>-host.csv``.
        """
        run = self._run
        optimiser = torch.optim.AdamW(groups, lr=knobs.rate, weight_decay=knobs.weight_decay)
        average = Average(module, knobs.ema) if knobs.ema else None
        first = 0
        if self.checkpoint.is_file():
            saved = self._load()
            module.load_state_dict(saved["module"])
            optimiser.load_state_dict(saved["optimiser"])
            first = int(saved["step"])
            if average:
                average.load_state_dict(saved["average"])
            if early_stop:
                early_stop.resume(saved["early_stop"])
            if ranks.leads():
                _log.info("%s goes on after step %s of %s", self.name, f"{first:,}", f"{knobs.steps:,}")
        curve = Curve(run.folder / f"{self.name}.csv", first)
        looks = Curve(run.folder / f"{self.name}-val.csv", first and first + 1)
        trained = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        step_losses = ranks.together(module, trained, losses)
        host = Curve(run.folder / f"{self.name}-host.csv", first)
        told_at, told_step = time.perf_counter(), first
        saved_at = time.monotonic()
        for step in range(first, knobs.steps):
            if early_stop and early_stop.over:
                break
            module.train()
            rng, generator = self._generators(step)
            rate = knobs.rate * rate_factor(knobs, step)
            for group in optimiser.param_groups:
                group["lr"] = rate * group["factor"]
            optimiser.zero_grad(set_to_none=True)
            with mixed(run.device, bf16=run.config.bf16):
                values = step_losses(step, rng, generator)
            (next(iter(values.values())) * ranks.count()).backward()  # type: ignore[no-untyped-call]
            for group in optimiser.param_groups:
                nn.utils.clip_grad_norm_(group["params"], knobs.clip)
            optimiser.step()
            if average:
                average.update_parameters(module)
            if step % _CURVE_EVERY == 0 or step + 1 == knobs.steps:
                told = {name: float(value.detach()) for name, value in values.items()}
                curve.write(step, {**told, "rate": rate})
                if times:
                    whole = 1e3 * (time.perf_counter() - told_at) / (step + 1 - told_step)
                    host.write(step, {**times(), "step_ms": whole})
                    told_at, told_step = time.perf_counter(), step + 1
            if early_stop and early_stop.due(step + 1, knobs.steps):
                with average.in_place(module) if average else nullcontext():
                    looks.write(step + 1, {early_stop.measure: early_stop.look(module)})
            run.progress(self.name, step + 1, knobs.steps)
            stop = run.stopping()
            if stop or time.monotonic() - saved_at >= run.config.checkpoint_minutes * 60:
                self._save(
                    module,
                    step + 1,
                    finished=False,
                    optimiser=optimiser.state_dict(),
                    average=average and average.state_dict(),
                    early_stop=early_stop and early_stop.state(),
                )
                saved_at = time.monotonic()
            if stop:
                raise TrainStopped(
                    f"stopped after step {step + 1:,} of {knobs.steps:,} of {self.name}, which is saved in "
                    f"{run.folder}; the same command goes on from there"
                )
        if average:
            module.load_state_dict(average.module.state_dict())
        if early_stop:
            early_stop.keep_best(module)
        self._save(module, knobs.steps, finished=True)
        module.eval()

    def _generators(self, step: int) -> tuple[np.random.Generator, torch.Generator]:
        rng, dropout, own = step_numbers(self._run.config.seed, self.name, step)
        # Dropout draws from torch's global generator.
        torch.manual_seed(ranks.spread_seed(dropout))
        return rng, torch.Generator().manual_seed(own)

    def _save(self, module: nn.Module, step: int, *, finished: bool, **state: Any) -> None:
        """``state`` is what resuming needs beside the weights."""
        if ranks.leads():
            content = {"module": module.state_dict(), "step": step, "finished": finished}
            with replacing(self.checkpoint) as written:
                torch.save({**content, **state}, written)

    def _load(self) -> dict[str, Any]:
        saved: dict[str, Any] = torch.load(self.checkpoint, map_location=self._run.device, weights_only=True)
        return saved


class Curve:
    """A CSV of figures by step. Resuming drops the rows from step ``first`` on. Only rank 0 writes."""

    def __init__(self, path: Path, first: int) -> None:
        self._path = path
        if not ranks.leads():
            return
        if first == 0:
            path.unlink(missing_ok=True)
        elif path.is_file():
            head, *rows = path.read_text().splitlines()
            kept = [row for row in rows if int(row.split(",")[0]) < first]
            path.write_text("\n".join([head, *kept]) + "\n")

    def write(self, step: int, values: dict[str, float]) -> None:
        """Append a row, below a header where it is the first."""
        if not ranks.leads():
            return
        new = not self._path.is_file()
        with self._path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", *values])
            writer.writerow([step, *(f"{value:.6g}" for value in values.values())])
