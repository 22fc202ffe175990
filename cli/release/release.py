"""A release that is being made: what its steps know of each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cli.release.plan import Plan, PlanError
from cli.release.services import Fleet
from cli.release.state import Served, StateFile, Step
from cli.release.towers import Side

#: Stands in commands that are only shown for what is not known before a step has run.
UNKNOWN = "…"


@dataclass(frozen=True)
class Outcome:
    """What came of a step.

    Attributes:
        says: in a line.
        found: what later steps use.
        state: ``refused`` ends the release.
    """

    says: str
    found: dict[str, Any] = field(default_factory=dict)
    state: Literal["done", "skipped", "refused"] = "done"


@dataclass(frozen=True)
class Work:
    """A step.

    Attributes:
        name: in the state, the table and messages.
        about: what it does.
        act: does it; may be done again after a kill.
        skip: why there is nothing to do; None where there is.
        command: the `mrse` command that it is, where it is one.
    """

    name: str
    about: str
    act: Callable[[Release], Outcome]
    skip: Callable[[Release], str | None] = lambda release: None
    command: Callable[[Release], Sequence[str]] | None = None


class Release:
    """One release.

    Args:
        plan: what to do.
        file: the state, with a current release.
        engine: of the service's configuration.
        fleet: the services.
        tell: says a line on stderr.
        given_up: the release that this one comes in place of, if what it put into Vespa is to be dropped.
    """

    def __init__(
        self,
        plan: Plan,
        file: StateFile,
        engine: str,
        fleet: Fleet,
        tell: Callable[[str], None],
        given_up: Release | None = None,
    ) -> None:
        assert file.state.current is not None
        self.plan = plan
        self.file = file
        self.current = file.state.current
        self.engine = engine
        self.fleet = fleet
        self.tell = tell
        self.given_up = given_up

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.plan.work / self.current.release

    @property
    def before(self) -> Served | None:
        """What served when it began."""
        return self.current.before

    def step(self, name: str) -> Step | None:
        """A step that was begun."""
        return self.current.steps.get(name)

    def found(self, name: str) -> dict[str, Any]:
        """What a step found; empty where it has not run."""
        step = self.step(name)
        return {} if step is None else step.found

    @property
    def trains(self) -> bool:
        """Whether it trains a bundle, as far as is known."""
        step = self.step("train")
        return self.plan.train is not None and (step is None or step.state != "skipped")

    @property
    def bundle(self) -> str:
        """The bundle that is to serve."""
        if (embedded := self.found("embed").get("bundle")) is not None:
            return str(embedded)  # the plan may be another by now
        if self.trains:
            return str(
                self.found("export").get("path", self.folder / "bundles" / f"{self.plan.name}-{UNKNOWN}")
            )
        if self.plan.bundle is not None:
            return str(self.plan.bundle)
        if self.before is None:
            raise PlanError(
                f"{self.plan.file}: no bundle: {self.plan.config} names none, so give `bundle`, "
                "or the table [train]"
            )
        return self.before.bundle

    @property
    def version(self) -> str | None:
        """Version of that bundle; None before it is exported."""
        if self.trains and "path" not in self.found("export"):
            return None
        return bundle_version(Path(self.bundle))

    @property
    def embeddings(self) -> Path:
        """The embeddings of the catalogue by that bundle."""
        return self.folder / "embeddings"

    @property
    def index(self) -> str:
        """The index that is to serve: a folder, or a version's file of Vespa."""
        if self.engine == "vespa":
            assert self.plan.vespa is not None
            name = self.found("package").get("document_type", f"item_{UNKNOWN}")
            return str(self.plan.vespa.package / "versions" / f"{name}.json")
        return str(self.folder / "index")

    @property
    def index_version(self) -> str | None:
        """Version of an embedded index once it is built; None otherwise."""
        found: str | None = self.found("build").get("index_version")
        return found and (index_version(Path(self.index)) or found)

    @property
    def candidate(self) -> Side:
        """What is to serve."""
        return Side(self.bundle, self.index)

    @property
    def in_place(self) -> bool:
        """Whether the items of the version that serves are replaced where they are, as Vespa does."""
        return self.engine == "vespa" and self.before is not None and self.version == self.before.version


def bundle_version(bundle: Path) -> str:
    """The version that a bundle's manifest names.

    Raises:
        PlanError: there is no bundle.
    """
    from artifacts.bundle.manifest import MANIFEST_NAME

    try:
        return str(json.loads((bundle / MANIFEST_NAME).read_bytes())["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PlanError(f"{bundle} is no bundle: {error}") from error


def index_version(index: Path) -> str | None:
    """The version of an embedded index, as services tell it; None of one of Vespa.

    It is read where it is needed: a service that rebuilds its index gives it another one.
    """
    from index.embedded.manifest import MANIFEST_NAME

    try:
        return str(json.loads((index / MANIFEST_NAME).read_bytes())["index_version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def loaded_of(served: Served) -> tuple[str, str | None]:
    """What services tell once they have loaded it: the versions of bundle and index."""
    return served.version, index_version(Path(served.index))
