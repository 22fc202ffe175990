"""Files of old releases go, but for what serves and what can be gone back to."""

from __future__ import annotations

from cli.release.tidy import remove_old
from tests.cli.release.made import Folder


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
