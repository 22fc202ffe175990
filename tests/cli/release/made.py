"""A release whose bundle and index are made, and a service that tells on ``/metrics`` what its arms did."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artifacts.bundle.manifest import MANIFEST_NAME
from cli.release.begin import open_release
from cli.release.commands import StepFailed
from cli.release.plan import read_plan
from cli.release.release import Release
from cli.release.runner import Result, abort, go_back, run
from cli.release.services import Fleet
from cli.release.state import Past, Served, StateFile, Step
from index.embedded.manifest import MANIFEST_NAME as INDEX_MANIFEST

BEFORE_CANARY = (
    "check",
    "train",
    "export",
    "gate",
    "embed",
    "build",
    "calibrate",
    "verify",
    "produce",
    "changes",
)
PLAN = 'shop = "shop"\nconfig = "mrse.toml"\nwork = "releases"\nbundle = "{bundle}"\n'


class Service:
    """Tells on ``/metrics`` that it has loaded what the configuration names, and what its arms did."""

    def __init__(self, config: Path) -> None:
        self.config = config
        #: What each look adds to the counters of an arm: by outcome.
        self.each: dict[str, dict[str, int]] = {"control": {"answered": 90}, "canary": {"answered": 10}}
        self.empty_each = 0
        self.slow = False
        self.ready = True
        self.status = 200
        self.takes = True
        #: Whether it refuses a canary, as soon as the file names it.
        self.refuses = False
        self.switched: list[Any] = []
        self.looks = 0
        self._totals: dict[tuple[str, str], int] = {}
        self._empty = 0
        self.loaded = self._configured()

    def _configured(self) -> dict[str, Any]:
        settings = tomllib.loads(self.config.read_text())
        base = {"bundle": settings["bundle"]["path"], "index": settings["index"]["path"]}
        arms = settings.get("experiments", {}).get("towers", {"control": {}})
        return {
            name: (Path(str(arm.get("bundle", base["bundle"]))).name, _index(arm.get("index", base["index"])))
            for name, arm in arms.items()
        }

    def exposition(self) -> str:
        self.looks += 1
        refused = int(self.refuses and "canary" in self._configured())
        if self.takes and not refused:
            self.loaded = self._configured()
        lines = [f"mrse_ready {int(self.ready)}", f'mrse_reloads_total{{result="refused"}} {refused}']
        for arm, (version, index) in self.loaded.items():
            told = index or f"{version}.1"
            lines.append(f'mrse_bundle_info{{arm="{arm}",bundle="{version}",index="{told}"}} 1')
            labels = f'experiment="towers",arm="{arm}"'
            for outcome, more in self.each[arm].items():
                self._totals[arm, outcome] = self._totals.get((arm, outcome), 0) + more
                lines.append(
                    f'mrse_arm_requests_total{{{labels},outcome="{outcome}"}} {self._totals[arm, outcome]}'
                )
            answered = self._totals.get((arm, "answered"), 0)
            quick = 0 if self.slow and arm == "canary" else answered
            for bound, count in (("0.01", quick), ("0.5", answered), ("+Inf", answered)):
                lines.append(f'mrse_arm_request_duration_seconds_bucket{{{labels},le="{bound}"}} {count}')
        if "canary" in self.loaded:
            self._empty += self.empty_each
            lines.append(f'mrse_arm_empty_total{{experiment="towers",arm="canary"}} {self._empty}')
        return "\n".join(lines) + "\n"


def _index(folder: Any) -> str | None:
    """The version that an index's manifest names, where it has one."""
    manifest = Path(str(folder)) / INDEX_MANIFEST
    return str(json.loads(manifest.read_text())["index_version"]) if manifest.is_file() else None


class Folder:
    """A plan whose bundle and index are made, so that a canary is next."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for version in ("old", "new"):
            (folder / version).mkdir()
            (folder / version / MANIFEST_NAME).write_text(json.dumps({"version": version}))
        (folder / "releases").mkdir()
        (folder / "shop").mkdir()
        (folder / "shop/shop.toml").write_text('name = "s"\n')
        (folder / "shop/items.csv").write_text("id,title\na,cup\n")
        self.config = folder / "mrse.toml"
        self.config.write_text(
            f'[bundle]\npath = "{folder}/old"\n[index]\npath = "{folder}/old-index"\n'
            f'[assignment]\npath = "{folder}/experiments.json"\n'
        )
        (folder / "old-index").mkdir()
        self.service = Service(self.config)
        self.url = ""
        self.services: dict[str, Any] = {"within_s": 0.3}
        self.canary: dict[str, Any] = {
            "watch_s": 0.02,
            "settle_s": 0,
            "requests": 10,
            "longest_s": 30,
            "every_s": 0.01,
            "silent_s": 0.05,
        }
        self.told: list[str] = []
        self.bundle = "new"
        #: Further tables of the plan.
        self.tables = ""

    def plan(self) -> Any:
        text = PLAN.format(bundle=self.bundle)
        for name, table in (("services", {"urls": [self.url], **self.services}), ("canary", self.canary)):
            text += f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        (self.folder / "release.toml").write_text(text + self.tables)
        return read_plan(self.folder / "release.toml")

    def run(self) -> Result:
        return run(self.begin(self.told.append))

    def begin(self, tell: Callable[[str], None], fleet: Fleet | None = None) -> Release:
        plan = self.plan()
        release = open_release(plan, fleet or Fleet(plan.services), tell)
        for name in BEFORE_CANARY:
            release.current.steps.setdefault(name, Step(state="done", began=0))
        release.current.steps["build"].found["index_version"] = "new.1"
        return release

    def killed(self, where: Callable[[Release], bool]) -> None:
        """Begin, and stop it once the state was saved and something holds."""
        release = self.begin(self.told.append)
        save = release.file.save

        def save_and_stop() -> None:
            save()
            if where(release):
                release.file.save = save  # type: ignore[method-assign]
                raise KeyboardInterrupt

        release.file.save = save_and_stop  # type: ignore[method-assign]
        with pytest.raises((KeyboardInterrupt, StepFailed)):
            run(release)

    def opened(self, *, fresh: bool = False) -> Release:
        plan = self.plan()
        return open_release(plan, Fleet(plan.services), self.told.append, fresh=fresh)

    def back(self) -> Result:
        plan = self.plan()
        return go_back(plan, Fleet(plan.services), self.told.append)

    def abort(self) -> Result:
        plan = self.plan()
        return abort(plan, Fleet(plan.services), self.told.append)

    def promoted(self, served: str, before: str, bundles: tuple[str, str]) -> None:
        """Put a promotion into the history, by the names of indexes and bundles."""
        sides = []
        for index, bundle in zip((served, before), bundles, strict=True):
            (self.folder / index).mkdir(exist_ok=True)
            sides.append(
                Served(
                    bundle=str(self.folder / bundle),
                    index=str(self.folder / index),
                    version=Path(bundle).name,
                )
            )
        self.config.write_text(f'[bundle]\npath = "{sides[0].bundle}"\n[index]\npath = "{sides[0].index}"\n')
        self.service.exposition()
        file = StateFile(self.folder / "releases")
        file.state.history.append(
            Past(release="1", verdict="promoted", ended=1, served=sides[0], before=sides[1])
        )
        file.save()

    def arms(self) -> dict[str, str]:
        towers = tomllib.loads(self.config.read_text())["experiments"]["towers"]
        return {name: Path(arm["bundle"]).name for name, arm in towers.items()}

    def steps(self) -> dict[str, str]:
        current = StateFile(self.folder / "releases").state.current
        assert current is not None
        return {name: step.state for name, step in current.steps.items()}
