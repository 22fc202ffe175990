"""The plans that the page on releases shows are plans."""

from __future__ import annotations

from pathlib import Path

from cli.release.plan import read_plan
from tests.docs.pages import blocks


def test_the_plans_of_the_page_can_be_read(tmp_path: Path) -> None:
    whole, exposed, kubernetes = blocks("docs/nightly.md", "toml")
    file = tmp_path / "release.toml"
    file.write_text(whole)
    plan = read_plan(file)
    assert plan.train is not None
    assert plan.services.reload == ("systemctl", "reload", "mrse-recall")
    least = 'shop = "shop"\nconfig = "mrse.toml"\nwork = "releases"\n'
    file.write_text(least + exposed)
    assert read_plan(file).exposed is not None
    file.write_text(least + kubernetes)
    assert read_plan(file).services.resolve
