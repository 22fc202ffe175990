"""`mrse release` over a running service: killed it goes on, promotes, and takes a bad canary back."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.demo_files import demo_bundle
from service.settings import load_settings
from tests.cli.release.drill import PATIENCE, Releasing, asked, first_release, served, write_shop
from tests.support import shop
from tests.support.bundle import make_bundle

pytestmark = [pytest.mark.slow, pytest.mark.drill, pytest.mark.timeout(3 * PATIENCE)]


def test_killed_in_each_step_it_goes_on_and_what_is_bad_does_not_serve(tmp_path: Path) -> None:
    releasing = Releasing(tmp_path)
    write_shop(tmp_path / "shop")
    folder, plan = releasing.folder, releasing.plan
    first_release(releasing, shop.bundle(tmp_path / "bundle").path)
    whole = plan.read_text()
    other = shop.bundle(folder / "other", seed=2)
    with served(releasing), asked(releasing.url) as statuses:
        first = releasing.loaded()
        plan.write_text(f'bundle = "{other.path}"\n{whole}[gate]\nloss = 0.2\nresamples = 100\n')
        for step in ("check", "gate", "embed", "build", "verify", "canary", "watch"):
            releasing.killed_in(step)
        assert releasing.loaded().keys() == {"control", "canary"}  # it stays out, until somebody goes on
        releasing.killed_in("promote")
        code, second = releasing.release()
        assert (code, second["verdict"]) == (0, "promoted"), second
        assert len(releasing.state["history"]) == 2
        serving = releasing.loaded()
        assert serving.keys() == {"control"}
        assert serving != first

        # A bundle that knows none of the shop's words.
        worse = make_bundle(folder / "worse", ["nothing"], seed=3)
        plan.write_text(f'bundle = "{worse.path}"\n{whole}[gate]\nresamples = 100\n')
        code, third = releasing.release()
        assert (code, third["verdict"]) == (1, "refused"), third
        assert third["says"].startswith("surely worse than what serves: Recall@10 (all) -")
        assert releasing.loaded() == serving

        # An export that has lost its stock: the filter of the queries finds nothing in the new index.
        plan.write_text(whole)
        write_shop(folder / "shop", in_stock=False)
        code, fourth = releasing.release()
        assert (code, fourth["verdict"]) == (1, "rolled back"), fourth
        assert fourth["says"].startswith("empty ")
        assert releasing.loaded() == serving
        assert list(load_settings(releasing.config).experiments["towers"]) == ["control"]
    assert set(statuses) == {200}


#: A training of seconds; what it makes is far below the bundle that is shipped.
TRAIN = """[train]
preset = "tiny"
every_days = 0
[train.set]
"threads" = 1
"""


def test_on_the_demo_shop_killed_while_it_trains_and_exports_it_goes_on(tmp_path: Path) -> None:
    releasing = Releasing(tmp_path)
    releasing.done("shop", "make", "shop", "--items", "1000", "--seed", "7")
    first_release(releasing, demo_bundle())
    whole = releasing.plan.read_text()
    with served(releasing), asked(releasing.url) as statuses:
        first = releasing.loaded()
        releasing.plan.write_text(f"{whole}[gate]\nresamples = 100\n{TRAIN}")
        for step in ("train", "export", "gate"):
            releasing.killed_in(step)
        code, worse = releasing.release()
        assert (code, worse["verdict"]) == (1, "refused"), worse
        assert worse["says"].startswith("surely worse than what serves: ")
        assert releasing.loaded() == first

        # Whoever accepts such a loss gets it: the same steps, and then those that touch traffic.
        releasing.plan.write_text(f"{whole}[gate]\nloss = 0.99\nresamples = 100\n{TRAIN}")
        for step in ("train", "export", "watch", "promote"):
            releasing.killed_in(step)
        code, trained = releasing.release()
        assert (code, trained["verdict"]) == (0, "promoted"), trained
        (past,) = releasing.state["history"][2:]
        assert past["served"]["trained"] is not None
        serving = releasing.loaded()
        assert serving.keys() == {"control"}
        assert serving != first
        code, back = releasing.release("--back")
        assert (code, back["verdict"]) == (0, "promoted"), back
        assert releasing.loaded() == first
    assert set(statuses) == {200}
