"""The commands for Vespa: what they refuse before anything is sent, and the options that they share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.main import build
from common.errors import USAGE
from devtools.embeddings import make_embeddings
from index.vespa.feed.journal import JournalMismatch
from index.vespa.feed.ledger import FeedRefused, Ledger
from index.vespa.feed.merged import Change
from index.vespa.package.verdict import Verdict
from index.vespa.settings import EndpointError
from index.vespa.version import VersionError

NOWHERE = "http://127.0.0.1:1"


def mrse(*arguments: object) -> Result:
    return CliRunner().invoke(build(), ["vespa", *map(str, arguments)])


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of one version, ``demo-00000000``."""
    make_embeddings(tmp_path / "embeddings", rows=3)
    added = mrse("add-version", tmp_path / "embeddings", "--package", tmp_path / "package", "--json")
    assert json.loads(added.stdout) == {
        "application": str(tmp_path / "package" / "application"),
        "document_type": "item_demo_00000000",
    }
    return tmp_path / "package"


def test_an_edited_schema_is_not_deployed(package: Path) -> None:
    schema = package / "application" / "schemas" / "item_demo_00000000.sd"
    schema.write_text(schema.read_text().replace("max-links-per-node: 16", "max-links-per-node: 8"))
    done = mrse("deploy", "--package", package, "--config-server", NOWHERE)
    assert done.exit_code == 1
    assert "+ max-links-per-node: 8" in " ".join(done.stderr.split())
    assert "1 problem that Vespa would let pass" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [(("--key", "a.pem"), "both or neither"), (("--token", "secret"), "in the clear")],
)
def test_access_that_does_not_go_together(options: tuple[str, ...], words: str, package: Path) -> None:
    done = mrse("deploy", "--package", package, "--config-server", NOWHERE, *options)
    assert isinstance(done.exception, EndpointError)
    assert done.exception.exit_code == USAGE
    assert words in str(done.exception)


def test_versions_that_are_not_there(package: Path, tmp_path: Path) -> None:
    done = mrse("drop", "demo-11111111", "--package", package, "--config-server", NOWHERE)
    assert isinstance(done.exception, VersionError)
    assert "it has item_demo_00000000" in str(done.exception)
    make_embeddings(tmp_path / "other", rows=3, bundle_version="demo-22222222")
    done = mrse("feed", tmp_path / "other", "--package", package, "--endpoint", NOWHERE)
    assert isinstance(done.exception, VersionError)
    assert "no version 'demo-22222222'" in str(done.exception)


@pytest.mark.parametrize("command", ["deploy", "feed", "verify", "prune", "drop"])
def test_every_command_that_asks_vespa_has_the_options_of_access(command: str) -> None:
    text = mrse(command, "--help").stdout
    for option in ("--ca", "--certificate", "--key", "--token"):
        assert option in text


def test_a_journal_of_something_else_is_not_written_over(package: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal.json"
    journal.write_text('{"format": 2}')
    where = ("--package", package, "--endpoint", NOWHERE, "--journal", journal)
    done = mrse("feed", tmp_path / "embeddings", *where)
    assert isinstance(done.exception, JournalMismatch)
    assert journal.read_text() == '{"format": 2}'


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--part", "3/2"), "as 2/8"),
        (("--part", "x"), "as 2/8"),
        (("--as-of", "yesterday"), "--as-of is a time"),
    ],
)
def test_options_of_a_feed_that_are_not_understood(
    options: tuple[str, ...], words: str, package: Path, tmp_path: Path
) -> None:
    done = mrse("feed", tmp_path / "embeddings", "--package", package, "--endpoint", NOWHERE, *options)
    assert done.exit_code == USAGE
    assert words in " ".join(done.stderr.split())


def test_an_older_folder_is_refused(package: Path, tmp_path: Path) -> None:
    with Ledger.of(package, "item_demo_00000000") as ledger:
        ledger.begin(1_700_000_000_000_000)
    at = "2023-11-14T22:13:19Z"
    done = mrse("feed", tmp_path / "embeddings", "--package", package, "--endpoint", NOWHERE, "--as-of", at)
    assert isinstance(done.exception, FeedRefused)
    assert "one as of 2023-11-14T22:13:20+00:00 was fed" in str(done.exception)


def test_prune_needs_a_folder_that_was_fed(package: Path, tmp_path: Path) -> None:
    done = mrse("prune", tmp_path / "embeddings", "--package", package, "--endpoint", NOWHERE)
    assert isinstance(done.exception, FeedRefused)


VERSION_FILE = "package/versions/item_demo_00000000.json"


@pytest.fixture
def config(package: Path, tmp_path: Path) -> Path:
    """A service of two arms, of which the second, of that version, has no traffic."""
    make_embeddings(tmp_path / "other", rows=3, bundle_version="demo-22222222")
    assert mrse("add-version", tmp_path / "other", "--package", package).exit_code == 0
    file = tmp_path / "mrse.toml"
    file.write_text(
        f"""
# ours
[index]
engine = "vespa"
path = "{package}/versions/item_demo_22222222.json"
[experiments.towers.control]
weight = 1.0
[experiments.towers.treatment]
weight = 0.0
bundle = "{tmp_path}/bundle"
index = "{tmp_path}/{VERSION_FILE}"
"""
    )
    return file


def test_switch_asks_for_the_verdict(config: Path, package: Path) -> None:
    def switch(*more: object) -> Result:
        return mrse("switch", "treatment=1", "--config", config, *more)

    def said(done: Result) -> str:
        assert done.exit_code == 1
        assert "weight = 0.0" in config.read_text()
        return " ".join(done.stderr.split())

    assert "was not verified" in said(switch())
    Verdict(holds=False, as_of=0, recall=0.5).write(package, "item_demo_00000000")
    assert "did not pass" in said(switch())
    Verdict(holds=True, as_of=0, recall=1.0).write(package, "item_demo_00000000")
    with Ledger.of(package, "item_demo_00000000") as ledger:
        ledger.begin(7)
    assert "was fed again since" in said(switch())
    Verdict(holds=True, as_of=7, recall=1.0).write(package, "item_demo_00000000")
    with (
        Ledger.of(package, "item_demo_22222222") as serves,
        Ledger.of(package, "item_demo_00000000") as ledger,
    ):
        serves.record([Change("remove", "item-1", 8)])
        assert "other versions got changes of 1 item" in said(switch())
        ledger.record([Change("remove", "item-1", 8)])
    assert switch().exit_code == 0
    # The one that serves and was never verified loses traffic, whatever its number.
    assert mrse("switch", "control=50", "treatment=50", "--config", config).exit_code == 0
    Verdict(holds=False, as_of=7, recall=1.0).write(package, "item_demo_00000000")
    assert mrse("switch", "control=50", "treatment=60", "--config", config).exit_code == 1
    # Taking traffic away needs no verdict.
    assert mrse("switch", "treatment=0.5", "--config", config).exit_code == 0
    assert mrse("switch", "treatment=200", "--config", config, "--unverified").exit_code == 0


def test_drop_asks_for_the_weight_and_is_safe_to_fail(config: Path, package: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in package.rglob("*") if path.is_file()}

    def drop(*more: object, version: str = "demo-00000000") -> Result:
        done = mrse("drop", version, "--package", package, "--config-server", NOWHERE, "--within", 1, *more)
        assert done.exit_code != 0
        assert {path: path.read_bytes() for path in package.rglob("*") if path.is_file()} == before
        return done

    assert "--unused" in drop().stderr
    assert "index.path is this version" in " ".join(
        drop("--config", config, version="demo-22222222").stderr.split()
    )
    assert mrse("switch", "treatment=1", "--config", config, "--unverified").exit_code == 0
    before = {path: path.read_bytes() for path in package.rglob("*") if path.is_file()}
    assert "treatment has the weight 1" in " ".join(drop("--config", config).stderr.split())
    assert mrse("switch", "treatment=0", "--config", config).exit_code == 0
    # The config server is away: the arm is out, for it had no traffic, and the package is as it was.
    assert "is it up" in " ".join(drop("--config", config).stderr.split())
    assert "treatment" not in config.read_text()
    assert "# ours" in config.read_text()
    assert "is it up" in " ".join(drop("--config", config).stderr.split())


def test_two_versions_of_a_bundle_are_told_apart_by_what_their_graph_is_over(
    package: Path, tmp_path: Path
) -> None:
    folder, lines = tmp_path / "embeddings", tmp_path / "items.jsonl"
    added = mrse("add-version", folder, "--package", package, "--vectors", "int8", "--json")
    assert json.loads(added.stdout)["document_type"] == "item_demo_00000000_int8"
    done = mrse("lines", folder, "--package", package, "--out", lines)
    assert isinstance(done.exception, VersionError)
    assert "say which, by --vectors" in str(done.exception)
    assert mrse("lines", folder, "--package", package, "--out", lines, "--vectors", "int8").exit_code == 0
    first = json.loads(lines.read_text().splitlines()[0])
    assert first["put"].startswith("id:mrse:item_demo_00000000_int8::")
    assert len(first["fields"]["embeddingInt8"]) * 2 == len(first["fields"]["embedding"])
