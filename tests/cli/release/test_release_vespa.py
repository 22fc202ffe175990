"""`mrse release` over Vespa's container: killed in each of its steps it goes on; old versions are dropped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from devtools.vespa_peer.peer import Peer, start_peer
from tests.cli.release.drill import PATIENCE, Releasing, asked, served, write_shop
from tests.support import shop
from tests.support.vespa_peer import require_peer

pytestmark = [pytest.mark.slow, pytest.mark.drill, pytest.mark.timeout(3 * PATIENCE)]

CONFIG = """
[bundle]
path = "{bundle}"
[index]
engine = "vespa"
path = "{version}"
[vespa]
url = "{url}"
"""
PLAN = """
[vespa]
package = "package"
endpoints = ["{url}"]
config_servers = ["{config}"]
[gate]
loss = 0.2
resamples = 100
"""


class Blue(Releasing):
    """A shop whose first version is in Vespa, and serves."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        write_shop(folder / "shop")
        self.first = shop.bundle(folder / "blue", 1)
        embedded = ("embeddings", "--package", "package")
        self.done("embed", "shop", "--bundle", str(self.first.path), "--out", "embeddings")
        self.done("vespa", "add-version", *embedded)
        self.whole = self.plan.read_text()

    def begin(self, peer: Peer) -> None:
        """Feed the first version, and let the configuration name it."""
        self.done("vespa", "feed", "embeddings", "--package", "package", "--endpoint", peer.url)
        (version,) = (self.folder / "package/versions").iterdir()
        self.config.write_text(
            self.config.read_text() + CONFIG.format(bundle=self.first.path, version=version, url=peer.url)
        )
        self.whole += PLAN.format(url=peer.url, config=peer.config_url)

    def plans(self, bundle: Path | None) -> None:
        given = "" if bundle is None else f'bundle = "{bundle}"\n'
        self.plan.write_text(given + self.whole)

    @property
    def versions(self) -> set[str]:
        """Document types of the package."""
        return {path.stem for path in (self.folder / "package/versions").glob("*.json")}

    def bundles(self) -> dict[str, str]:
        towers = httpx.get(f"{self.url}/version").json()["towers"]
        return {arm: its["bundle"] for arm, its in towers.items()}


@pytest.fixture
def blue(tmp_path: Path) -> Iterator[tuple[Blue, Peer]]:
    require_peer()
    releasing = Blue(tmp_path)
    with start_peer(tmp_path / "package/application", nodes=1) as peer:
        releasing.begin(peer)
        with served(releasing):
            yield releasing, peer


def document_type(version: str) -> str:
    return f"item_{version.replace('-', '_')}"


def test_killed_in_each_step_of_vespa_it_goes_on_and_old_versions_are_dropped(
    blue: tuple[Blue, Peer], tmp_path: Path
) -> None:
    releasing, peer = blue
    first, second, third = (
        releasing.first,
        shop.bundle(tmp_path / "green", 2),
        shop.bundle(tmp_path / "red", 3),
    )
    types = [document_type(each.version) for each in (first, second, third)]
    items = len(shop.items())
    with asked(releasing.url) as statuses:
        releasing.plans(second.path)
        for step in ("embed", "package", "deploy", "feed", "verify", "canary", "catch up", "watch"):
            releasing.killed_in(step)
        assert releasing.bundles() == {"control": first.version, "canary": second.version}
        releasing.killed_in("promote")
        code, found = releasing.release()
        assert (code, found["verdict"]) == (0, "promoted"), found
        assert releasing.bundles() == {"control": second.version}
        assert releasing.versions == set(types[:2])  # the way back
        assert peer.count() == dict.fromkeys(types[:2], items)

        # The next version: the first is not the way back any more, and is dropped, also by a killed tidy.
        releasing.plans(third.path)
        releasing.killed_in("tidy")
        code, found = releasing.release()
        assert (code, found["verdict"]) == (0, "promoted"), found
        assert releasing.bundles() == {"control": third.version}
        assert releasing.versions == set(types[1:]), releasing.told
        assert set(peer.count()) == set(types[1:])

        # The same bundle, and a catalogue that has changed: fed where it is.
        write_shop(tmp_path / "shop", fewer=3)
        releasing.plans(None)
        for step in ("feed", "prune", "verify"):
            releasing.killed_in(step)
        code, found = releasing.release()
        assert (code, found["verdict"]) == (0, "promoted"), found
        assert found["says"] == f"{third.version} serves, fed anew"
        assert peer.count()[types[2]] == items - 3

        code, found = releasing.release("--back")
        assert (code, found["verdict"]) == (0, "promoted"), found
        assert releasing.bundles() == {"control": second.version}
    assert set(statuses) == {200}


def test_what_a_release_fed_and_took_back_does_not_stay_in_vespa(
    blue: tuple[Blue, Peer], tmp_path: Path
) -> None:
    releasing, peer = blue
    second = shop.bundle(tmp_path / "green", 2)
    with asked(releasing.url) as statuses:
        # An export that has lost its stock: the filter of the queries finds nothing in the new version.
        write_shop(tmp_path / "shop", in_stock=False)
        releasing.plans(second.path)
        code, found = releasing.release()
        assert (code, found["verdict"]) == (1, "rolled back"), found
        assert releasing.bundles() == {"control": releasing.first.version}
        assert releasing.versions == {document_type(releasing.first.version)}, releasing.told
        assert set(peer.count()) == {document_type(releasing.first.version)}
    assert set(statuses) == {200}
