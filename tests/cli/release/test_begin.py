"""Which release goes on, which begins anew, and what it is refused for, over a service that is asked."""

from __future__ import annotations

import pytest

from artifacts.bundle.manifest import MANIFEST_NAME
from cli.release.commands import StepFailed
from cli.release.plan import PlanError
from cli.release.release import Release
from cli.release.runner import foresee, run
from cli.release.state import StateFile
from common.errors import MrseError
from tests.cli.release.made import Folder


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


def test_a_release_ends_where_something_else_serves_than_when_it_began(made: Folder) -> None:
    made.begin(made.told.append).file.save()
    (made.folder / "other-index").mkdir()
    made.config.write_text(made.config.read_text().replace("old-index", "other-index"))
    before = made.opened().before
    assert "is given up: what serves is not what served when it began" in made.told[-1]
    assert before is not None
    assert before.index.endswith("other-index")


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


def test_what_a_release_fed_is_dropped_by_the_next_one_and_not_by_a_dry_run(
    made: Folder, dropped: list[str]
) -> None:
    foresee(made.opened())
    assert "is given up: the plan or the shop's files are others" in made.told[-1]
    assert dropped == []
    with pytest.raises(MrseError):  # a step: there is no shop to check here
        run(made.opened())
    assert dropped == ["item_new"]
