"""The training loop of a stage: AdamW, cosine schedule, clipping, checkpoints, exact resume.

Every random draw of a step comes from generators seeded by (seed, stage, step). So a step depends only on
the weights, the optimiser's state and its own number, and resuming gives the same losses. Where several
processes train (`models.training.ranks`), rank 0 alone writes files and tells of progress.
"""

from __future__ import annotations

import csv
import math
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.files import replacing
from models.towers.config import StageConfig
from models.training import ranks
from models.training.averaging import Average
from models.training.early_stop import EarlyStop
from models.training.precision import mixed
from models.training.run import Run

#: A step's losses by name; the first one is what is minimised.
Losses = dict[str, Tensor]
_CURVE_EVERY = 10


@dataclass(frozen=True)
class Schedule:
    """Length and rates of a stage."""

    steps: int
    rate: float
    weight_decay: float
    warmup: float = 0.05
    clip: float = 1.0
    #: Decay of the moving average of the weights; 0 for none.
    ema: float = 0.0

    @classmethod
    def from_stage(cls, knobs: StageConfig) -> Schedule:
        """The schedule that a stage is configured for."""
        return cls(knobs.steps, knobs.rate, knobs.weight_decay, knobs.warmup, knobs.clip, knobs.ema)

    def factor(self, step: int) -> float:
        """The learning rate at a step over the full one: linear warm-up, then a cosine down to 0."""
        warm = max(1, int(self.steps * self.warmup))
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, self.steps - warm)))


@dataclass(frozen=True)
class Group:
    """Parameters that train at ``rate`` times the schedule's rate."""

    parameters: Iterable[nn.Parameter]
    rate: float = 1.0


class Stage:
    """A stage of a run: where it stands, and its loop."""

    def __init__(self, name: str, run: Run) -> None:
        self.name, self._run = name, run
        self.checkpoint = run.folder / f"{name}.pt"

    @property
    def finished(self) -> bool:
        """Whether the stage has run to its end before."""
        return self.checkpoint.is_file() and bool(self._load()["finished"])

    def load(self, module: nn.Module) -> None:
        """Load the weights of the last checkpoint."""
        module.load_state_dict(self._load()["module"])

    def shape_of(self, weight: str) -> tuple[int, ...]:
        """Shape of a weight of the last checkpoint."""
        return tuple(self._load()["module"][weight].shape)

    def run(
        self,
        module: nn.Module,
        groups: list[Group],
        schedule: Schedule,
        losses: Callable[[int, np.random.Generator, torch.Generator], Losses],
        early_stop: EarlyStop | None = None,
    ) -> None:
        """Train a module, from the last checkpoint where there is one.

        Args:
            module: everything whose weights are saved.
            groups: what is trained.
            schedule: steps and rates.
            losses: called with the step's number and generators; gives its losses.
            early_stop: keeps the best weights and may end the stage early.
        """
        run = self._run
        optimiser = torch.optim.AdamW(
            [{"params": list(g.parameters), "factor": g.rate} for g in groups],
            lr=schedule.rate,
            weight_decay=schedule.weight_decay,
        )
        average = Average(module, schedule.ema)
        first = 0
        if self.checkpoint.is_file():
            saved = self._load()
            module.load_state_dict(saved["module"])
            optimiser.load_state_dict(saved["optimiser"])
            first = int(saved["step"])
            average.resume(saved["average"])
            if early_stop:
                early_stop.resume(saved["early_stop"])

        def state() -> dict[str, Any]:
            return {
                "optimiser": optimiser.state_dict(),
                "average": average.state(),
                "early_stop": early_stop.state() if early_stop else None,
            }

        curve = _Curve(run.folder / f"{self.name}.csv", first) if ranks.leads() else None
        trained = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        step_losses = ranks.together(module, trained, losses)
        saved_at = time.monotonic()
        for step in range(first, schedule.steps):
            if early_stop and early_stop.over:
                break
            module.train()
            rng, generator = self._generators(step)
            for group in optimiser.param_groups:
                group["lr"] = schedule.rate * schedule.factor(step) * group["factor"]
            optimiser.zero_grad(set_to_none=True)
            with mixed(run.device, bf16=run.config.bf16):
                values = step_losses(step, rng, generator)
            (next(iter(values.values())) * ranks.count()).backward()  # type: ignore[no-untyped-call]
            for group in optimiser.param_groups:
                nn.utils.clip_grad_norm_(group["params"], schedule.clip)
            optimiser.step()
            average.update()
            if curve and (step % _CURVE_EVERY == 0 or step + 1 == schedule.steps):
                told = {name: float(value.detach()) for name, value in values.items()}
                curve.write(step, {**told, "rate": schedule.rate * schedule.factor(step)})
            if early_stop and early_stop.due(step + 1, schedule.steps):
                with average.in_place():
                    early_stop.look(step + 1, module)
            run.progress(self.name, step + 1, schedule.steps)
            if time.monotonic() - saved_at >= run.config.checkpoint_minutes * 60:
                self._save(module, step + 1, state())
                saved_at = time.monotonic()
        average.keep()
        if early_stop:
            early_stop.keep_best(module)
        self._save(module, schedule.steps, None)
        module.eval()

    def _generators(self, step: int) -> tuple[np.random.Generator, torch.Generator]:
        key = (self._run.config.seed, zlib.crc32(self.name.encode()), step)
        rng = np.random.default_rng(key)
        # Dropout draws from torch's global generator.
        torch.manual_seed(ranks.spread_seed(int(rng.integers(2**62))))
        return rng, torch.Generator().manual_seed(int(rng.integers(2**62)))

    def _save(self, module: nn.Module, step: int, state: dict[str, Any] | None) -> None:
        """``state`` is what resuming needs beside the weights; None at the end of the stage."""
        if not ranks.leads():
            return
        content = {"module": module.state_dict(), "step": step, "finished": state is None}
        with replacing(self.checkpoint) as written:
            torch.save({**content, **(state or {})}, written)

    def _load(self) -> dict[str, Any]:
        saved: dict[str, Any] = torch.load(self.checkpoint, map_location=self._run.device, weights_only=True)
        return saved


class _Curve:
    """A CSV of losses and the learning rate. Resuming drops the rows after the checkpoint's step."""

    def __init__(self, path: Path, first: int) -> None:
        self._path = path
        if first == 0:
            path.unlink(missing_ok=True)
        elif path.is_file():
            head, *rows = path.read_text().splitlines()
            kept = [row for row in rows if int(row.split(",")[0]) < first]
            path.write_text("\n".join([head, *kept]) + "\n")

    def write(self, step: int, values: dict[str, float]) -> None:
        new = not self._path.is_file()
        with self._path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", *values])
            writer.writerow([step, *(f"{value:.6g}" for value in values.values())])
