"""The steps that touch traffic, against a service that is asked over HTTP: what it tells decides."""

from __future__ import annotations

import json
import re
import threading
import tomllib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from artifacts.bundle.manifest import MANIFEST_NAME
from cli.release.begin import open_release
from cli.release.canary import _Watch
from cli.release.commands import StepFailed
from cli.release.exposition import Told
from cli.release.plan import PlanError, read_plan
from cli.release.release import Release
from cli.release.runner import Result, abort, foresee, go_back, run
from cli.release.services import Fleet
from cli.release.state import Past, Served, StateFile, Step
from cli.release.tidy import remove_old
from common.errors import MrseError
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


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Folder]:
    folder = Folder(tmp_path)
    service = folder.service

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(service.status, service.exposition() if service.status == 200 else "")

        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            service.switched.append((self.path, said, self.headers["Authorization"]))
            self._answer(200, "{}")

        def _answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        folder.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder
        server.shutdown()
        thread.join()


def test_a_canary_that_does_no_harm_is_promoted_and_one_can_go_back(made: Folder) -> None:
    result = made.run()
    assert (result.verdict, made.arms()) == ("promoted", {"control": "new"})
    file = StateFile(made.folder / "releases")
    assert file.state.current is None
    (past,) = file.state.history
    assert (past.before, past.served) != (None, None)
    plan = made.plan()
    back = go_back(plan, Fleet(plan.services), made.told.append)
    assert (back.says, made.arms()) == ("back from new to old", {"control": "old"})
    with pytest.raises(PlanError, match="is not there any more"):  # and forth: no index was made here
        go_back(plan, Fleet(plan.services), made.told.append)
    assert made.arms() == {"control": "old"}


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (
            {"each": {"control": {"answered": 90}, "canary": {"internal": 10}}},
            "errors 100.00%, control 0.00%",
        ),
        ({"empty_each": 5}, "empty 50.00%"),
        ({"slow": True}, "p95 475.5 ms, control 9.5"),
        ({"each": {"control": {"answered": 90}, "canary": {}}}, "the canary got 0 requests"),
    ],
    ids=["errors", "empty", "latency", "no traffic"],
)
def test_a_guardrail_that_trips_takes_the_canary_back(made: Folder, harm: dict[str, Any], said: str) -> None:
    vars(made.service).update(harm)
    if "got 0" in said:
        made.canary["longest_s"] = 0.05
    result = made.run()
    assert (result.verdict, made.arms()) == ("rolled back", {"control": "old"})
    assert said in result.says
    past = StateFile(made.folder / "releases").state.history[-1]
    assert (past.verdict, past.served) == ("rolled back", None)


@pytest.mark.parametrize("ill", [{"ready": False}, {"status": 503}], ids=["not ready", "away"])
def test_a_service_that_falls_ill_takes_the_canary_back(
    made: Folder, ill: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, exposition = made.service, made.service.exposition
    made.canary["watch_s"] = 30

    def falls_ill() -> str:
        text = exposition()
        if service.looks == 6:
            vars(service).update(ill)
        return text

    def heals(line: str) -> None:
        if line.startswith("[!]"):
            service.ready, service.status = True, 200
        made.told.append(line)

    monkeypatch.setattr(service, "exposition", falls_ill)
    plan = made.plan()
    release = made.begin(heals)
    result = run(release)
    assert plan.canary.watch_s == 30
    assert (result.verdict, made.arms()) == ("rolled back", {"control": "old"})
    assert re.search("(is not ready|/metrics answers 503), for [0-9]+ s", result.says)


def test_the_switch_takes_traffic_away_before_the_reload(made: Folder) -> None:
    made.services["admin"] = made.url
    made.service.empty_each = 10
    plan = made.plan()
    fleet = Fleet(plan.services, "secret")
    result = run(made.begin(made.told.append, fleet))
    assert result.verdict == "rolled back"
    assert made.service.switched == [
        ("/admin/experiments", {"experiments": {"towers": {"on": on}}}, "Bearer secret")
        for on in (False, True)
    ]


def test_a_killed_watch_goes_on_with_what_it_counted(made: Folder) -> None:
    made.canary |= {"watch_s": 30, "requests": 40}
    release = made.begin(made.told.append)
    save = release.file.save

    def save_and_stop() -> None:
        save()
        if release.found("watch").get("requests", {}).get("canary", 0) >= 20:
            release.file.save = save  # type: ignore[method-assign]
            raise KeyboardInterrupt

    release.file.save = save_and_stop  # type: ignore[method-assign]
    with pytest.raises(StepFailed, match="stopped while the canary answers 10%"):
        run(release)
    assert made.steps()["watch"] == "failed"
    assert made.arms() == {"control": "old", "canary": "new"}
    (made.folder / "shop/items.csv").write_text("id,title\na,cup\nb,hat\n")  # the next night's: no matter
    made.canary["watch_s"] = 0
    began = StateFile(made.folder / "releases").state.current
    assert made.run().verdict == "promoted"
    assert f"release {began and began.release} goes on" in made.told
    assert made.arms() == {"control": "new"}


def test_it_can_be_given_up_while_the_canary_is_out(made: Folder) -> None:
    made.canary["watch_s"] = 30
    release = made.begin(made.told.append)
    release.file.save()
    made.service.status = 500
    with pytest.raises(MrseError):
        run(release)
    plan = made.plan()
    assert made.service.looks == 0
    made.service.status = 200
    given_up = abort(plan, Fleet(plan.services), made.told.append)
    assert given_up.verdict == "aborted"
    assert "roll back" in {row.name for row in given_up.rows}  # the services may have it yet
    assert "canary" not in made.config.read_text()
    with pytest.raises(PlanError, match="no release that is under way"):
        abort(plan, Fleet(plan.services), made.told.append)


def test_a_service_that_does_not_take_it_keeps_what_served(made: Folder) -> None:
    made.service.takes = False
    with pytest.raises(
        StepFailed, match=r"not taken within 0\.3 s: canary is not loaded; what served before"
    ):
        made.run()
    assert made.arms() == {"control": "old"}
    assert made.steps()["canary"] == "failed"
    made.service.takes = True
    assert made.run().verdict == "promoted"


def test_what_serves_is_what_the_configuration_names(made: Folder) -> None:
    made.config.write_text(made.config.read_text().replace("old", "new", 1))
    made.service.takes = False  # it was started with --bundle
    with pytest.raises(StepFailed, match=r"serves old where .* names new: let the configuration alone say"):
        made.run()


def test_what_serves_unknown_to_the_configuration_is_not_replaced_unseen(made: Folder) -> None:
    made.service.takes = False
    made.config.write_text("")
    with pytest.raises(PlanError, match=r"serves old, which .* does not name"):
        made.run()
    made.config.write_text('[bundle]\npath = "gone"\n[index]\npath = "gone"\n')
    with pytest.raises(PlanError, match="names gone, which is not there; name what serves by its whole path"):
        made.run()


def test_a_new_export_is_another_release_until_the_canary_is_out(made: Folder) -> None:
    made.begin(made.told.append).file.save()
    (made.folder / "shop/items.csv").write_text("id,title\na,cup\nb,hat\n")
    made.begin(made.told.append)
    assert "is given up: the plan or the shop's files are others" in made.told[-1]


def test_old_releases_are_removed_but_not_what_serves(made: Folder) -> None:
    work = made.folder / "releases"
    for number in range(5):
        (work / f"2026010{number}-000000" / "embeddings").mkdir(parents=True)
    (work / "mine").mkdir()
    bundle = work / "20260101-000000" / "bundles" / "old"
    bundle.parent.mkdir()
    (made.folder / "old").rename(bundle)
    made.config.write_text(made.config.read_text().replace(f'{made.folder}/old"', f'{bundle}"'))
    result = made.run()
    assert result.verdict == "promoted"
    left = sorted(path.name for path in work.iterdir() if path.is_dir())
    assert left == ["20260101-000000", "20260103-000000", "20260104-000000", result.release, "mine"]
    assert [path.name for path in (work / "20260101-000000").iterdir()] == ["bundles"]  # a way back


def test_a_canary_that_was_never_out_does_not_keep_the_next_night_from_beginning(made: Folder) -> None:
    made.service.refuses = True  # and is asked what it had refused before the file is written
    with pytest.raises(StepFailed, match="refused to reload; its log says why; what served before serves"):
        made.run()
    assert made.steps()["canary"] == "failed"
    again = made.opened(fresh=True)
    assert not again.current.steps
    assert "is given up: --fresh" in made.told[-1]


def test_a_canary_that_stands_in_the_configuration_is_out(made: Folder) -> None:
    made.killed(lambda release: "towers.canary]" in made.config.read_text())
    with pytest.raises(PlanError, match="is out; --abort takes it back, then begin anew"):
        made.opened(fresh=True)


def test_a_release_under_way_does_not_undo_going_back(made: Folder) -> None:
    made.promoted("new-index", "old-index", ("new", "old"))
    made.begin(made.told.append).file.save()
    assert made.back().says == "back from new to old"
    state = StateFile(made.folder / "releases").state
    assert (state.current, [past.verdict for past in state.history[1:]]) == (None, ["aborted", "promoted"])


def test_a_release_ends_where_something_else_serves_than_when_it_began(made: Folder) -> None:
    made.begin(made.told.append).file.save()
    (made.folder / "other-index").mkdir()
    made.config.write_text(made.config.read_text().replace("old-index", "other-index"))
    before = made.opened().before
    assert "is given up: what serves is not what served when it began" in made.told[-1]
    assert before is not None
    assert before.index.endswith("other-index")


def test_going_back_waits_for_the_index_where_the_bundle_is_the_same(made: Folder) -> None:
    made.promoted("new-index", "old-index", ("old", "old"))
    for name in ("old", "new"):
        (made.folder / f"{name}-index" / INDEX_MANIFEST).write_text(f'{{"index_version": "old.{name}"}}')
    made.service.exposition()
    made.service.takes = False
    with pytest.raises(MrseError, match=r"not taken within 0\.3 s: control is old over old\.new"):
        made.back()
    made.service.takes = True
    assert made.back().verdict == "promoted"  # the same command goes on
    assert made.service.loaded == {"control": ("old", "old.old")}


def test_going_back_skips_a_release_that_fed_anew_what_served(made: Folder) -> None:
    made.promoted("new-index", "old-index", ("new", "old"))
    made.promoted("new-index", "new-index", ("new", "new"))  # as Vespa's, where it was
    assert made.back().says == "back from new to old"
    assert made.arms() == {"control": "old"}


def test_what_was_promoted_is_noted_so_though_old_files_are_left(made: Folder) -> None:
    made.killed(lambda release: release.step("tidy") is not None)
    with pytest.raises(PlanError, match="has been promoted, and files of old releases are left"):
        made.abort()
    (made.folder / "shop/items.csv").write_text("id,title\na,cup\nb,hat\n")
    began = StateFile(made.folder / "releases").state.current
    assert began is not None
    (made.folder / "releases" / began.release / "index").mkdir()
    past = made.opened().file.state.history[-1]
    assert (past.release, past.verdict) == (began.release, "promoted")
    assert past.served is not None
    assert past.served.version == "new"


def test_giving_up_that_failed_is_gone_on_with(made: Folder) -> None:
    made.canary["watch_s"] = 30
    made.killed(lambda release: "requests" in release.found("watch"))
    made.service.takes = False
    with pytest.raises(StepFailed, match="the canary is not taken back"):
        made.abort()
    made.service.takes = True
    assert (made.run().verdict, made.arms()) == ("aborted", {"control": "old"})


def test_a_canary_that_is_out_goes_on_with_the_bundle_it_was_made_of(made: Folder) -> None:
    made.canary["watch_s"] = 30

    def stop(release: Release) -> bool:
        release.current.steps["embed"].found["bundle"] = str(made.folder / "new")
        return "requests" in release.found("watch")

    made.killed(stop)
    made.canary["watch_s"] = 0
    (made.folder / "third").mkdir()
    (made.folder / "third" / MANIFEST_NAME).write_text('{"version": "third"}')
    made.bundle = "third"
    assert (made.run().verdict, made.arms()) == ("promoted", {"control": "new"})


def test_a_watch_does_not_end_before_latency_counts(made: Folder) -> None:
    made.canary["settle_s"] = 0.2  # longer than watch_s
    made.service.slow = True
    result = made.run()
    assert (result.verdict, made.arms()) == ("rolled back", {"control": "old"})
    assert "p95 475.5 ms" in result.says


def test_each_service_has_its_own_clock_from_when_it_was_first_ready(made: Folder) -> None:
    made.canary["silent_s"] = 30
    release = made.begin(made.told.append)
    release.current.steps["watch"] = Step(state="running", began=0)
    watch = _Watch(release)

    def look(at: float, **ready: bool) -> str | None:
        return watch._silent({name: Told({}, {}, its, 0) for name, its in ready.items()}, {}, at)

    assert look(0, a=True, b=True) is None
    assert look(20, a=False, b=True, new=False) is None
    assert look(40, a=True, b=False, new=False) is None  # one after the other, and one that starts
    assert look(60, a=True, b=False, new=False) is None
    watch = _Watch(release)  # as after a kill
    assert look(70, a=True, b=False, new=False) == "b is not ready, for 30 s"
    assert look(80, a=True, b=True, new=True) is None
    assert look(90, new=False) is None
    assert look(120, new=False) == "new is not ready, for 30 s"
    assert watch._silent({}, {made.url: "gone"}, 130) is None
    assert watch._silent({}, {made.url: "gone"}, 160) == f"{made.url} does not answer: gone, for 30 s"


def test_the_way_back_of_the_last_promotion_stays_though_later_releases_are_refused(made: Folder) -> None:
    work = made.folder / "releases"
    for number in range(6):
        (work / f"2026010{number}-000000" / "embeddings").mkdir(parents=True)
    bundle = "releases/20260101-000000/bundles/shop-1"
    (made.folder / bundle).mkdir(parents=True)
    made.promoted("new-index", "old-index", ("old", bundle))
    removed = remove_old(made.begin(made.told.append))
    assert removed == 3
    assert (made.folder / bundle).is_dir()
    assert not (work / "20260102-000000").exists()


@pytest.fixture
def dropped(made: Folder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Versions dropped from Vespa; the release under way fed ``item_new``, and the next night's files came."""
    found: list[str] = []
    monkeypatch.setattr("cli.release.tidy._dropped", lambda release, version: found.append(version) or True)
    made.config.write_text(
        made.config.read_text().replace(
            "[index]", '[vespa]\nurl = "http://127.0.0.1:1"\n[index]\nengine = "vespa"'
        )
    )
    made.tables = '[vespa]\npackage = "package"\nendpoints = ["http://e"]\nconfig_servers = ["http://c"]\n'
    fed = made.begin(made.told.append)
    fed.current.steps["package"] = Step(state="done", began=0, found={"document_type": "item_new"})
    fed.file.save()
    (made.folder / "package/versions").mkdir(parents=True)
    (made.folder / "package/versions/item_new.json").write_text("{}")
    (made.folder / "shop/items.csv").write_text("id,title\na,cup\nb,hat\n")
    return found


def test_what_a_release_fed_is_dropped_by_the_next_one_and_not_by_a_dry_run(
    made: Folder, dropped: list[str]
) -> None:
    foresee(made.opened())
    assert "is given up: the plan or the shop's files are others" in made.told[-1]
    assert dropped == []
    with pytest.raises(MrseError):  # a step: there is no shop to check here
        run(made.opened())
    assert dropped == ["item_new"]


def test_going_back_to_nothing_leaves_what_a_release_fed(made: Folder, dropped: list[str]) -> None:
    with pytest.raises(PlanError, match="knows of nothing that served before"):
        made.back()
    assert dropped == []
