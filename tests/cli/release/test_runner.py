"""Giving a release up, and going back to what served before, over a service that is asked."""

from __future__ import annotations

import pytest

from cli.release.commands import StepFailed
from cli.release.plan import PlanError
from cli.release.runner import abort, run
from cli.release.services import Fleet
from cli.release.state import StateFile
from common.errors import MrseError
from index.embedded.manifest import MANIFEST_NAME as INDEX_MANIFEST
from tests.cli.release.made import Folder


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


def test_a_release_under_way_does_not_undo_going_back(made: Folder) -> None:
    made.promoted("new-index", "old-index", ("new", "old"))
    made.begin(made.told.append).file.save()
    assert made.back().says == "back from new to old"
    state = StateFile(made.folder / "releases").state
    assert (state.current, [past.verdict for past in state.history[1:]]) == (None, ["aborted", "promoted"])


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


def test_giving_up_that_failed_is_gone_on_with(made: Folder) -> None:
    made.canary["watch_s"] = 30
    made.killed(lambda release: "requests" in release.found("watch"))
    made.service.takes = False
    with pytest.raises(StepFailed, match="the canary is not taken back"):
        made.abort()
    made.service.takes = True
    assert (made.run().verdict, made.arms()) == ("aborted", {"control": "old"})


def test_going_back_to_nothing_leaves_what_a_release_fed(made: Folder, dropped: list[str]) -> None:
    with pytest.raises(PlanError, match="knows of nothing that served before"):
        made.back()
    assert dropped == []
