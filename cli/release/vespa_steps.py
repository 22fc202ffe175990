"""The steps that put the items into Vespa, in place of building an index."""

from __future__ import annotations

from collections.abc import Sequence

from cli.release.commands import StepFailed, mrse
from cli.release.plan import PlanError, Vespa
from cli.release.release import Outcome, Release, Work
from common.errors import NOT_IN_ORDER


def _vespa(release: Release) -> Vespa:
    if release.plan.vespa is None:
        raise PlanError(
            f"{release.plan.file}: the engine of {release.plan.config} is vespa: give the table [vespa]"
        )
    return release.plan.vespa


def _servers(option: str, urls: Sequence[str]) -> list[str]:
    return [word for url in urls for word in (option, url)]


def _package_command(release: Release) -> Sequence[str]:
    vespa = _vespa(release)
    return ("vespa", "add-version", str(release.embeddings), "--package", str(vespa.package),
            "--vectors", vespa.vectors)  # fmt: skip


def _package(release: Release) -> Outcome:
    found = mrse(_package_command(release))
    return Outcome(found["document_type"], {"document_type": found["document_type"]})


def _deploy_command(release: Release) -> Sequence[str]:
    vespa = _vespa(release)
    return ("vespa", "deploy", "--package", str(vespa.package),
            *_servers("--config-server", vespa.config_servers))  # fmt: skip


def _deploy(release: Release) -> Outcome:
    return Outcome(f"generation {mrse(_deploy_command(release))['generation']}")


def _items(command: str, release: Release, *more: str) -> Sequence[str]:
    vespa = _vespa(release)
    return ("vespa", command, str(release.embeddings), "--package", str(vespa.package),
            "--vectors", vespa.vectors, *_servers("--endpoint", vespa.endpoints), *more)  # fmt: skip


def _feed_command(release: Release) -> Sequence[str]:
    return _items("feed", release)


def _feed(release: Release) -> Outcome:
    mrse(_feed_command(release))
    return Outcome(release.found("package")["document_type"])


def _prune_command(release: Release) -> Sequence[str]:
    return _items("prune", release, "--most", str(_vespa(release).prune))


def _prune(release: Release) -> Outcome:
    found = mrse(_prune_command(release))
    return Outcome(f"{found['removed']:,} of {found['items']:,} left the catalogue")


def _nothing_to_prune(release: Release) -> str | None:
    return None if release.version is None or release.in_place else "the version is new"


def _verify_command(release: Release) -> Sequence[str]:
    plan = release.plan
    asked = ("--queries-of", str(plan.shop), "--bundle", release.bundle)
    return _items("verify", release, *asked)


def _verify(release: Release) -> Outcome:
    found = mrse(_verify_command(release), fine=lambda code: code in (0, NOT_IN_ORDER))
    if found["exit_code"]:
        failed = [check["name"] for check in found["checks"] if not check["holds"]]
        if release.in_place:
            raise StepFailed(f"what serves does not hold: {', '.join(failed)}")
        return Outcome(f"does not hold: {', '.join(failed)}", state="refused")
    return Outcome(f"recall {found['recall']:.3f}" if found.get("recall") is not None else "holds")


def _catch_up_command(release: Release) -> Sequence[str]:
    return _items("feed", release, "--fed")


def _catch_up(release: Release) -> Outcome:
    mrse(_catch_up_command(release))
    return Outcome("what the services changed between the feed and the canary is in both versions")


def _nothing_to_catch_up(release: Release) -> str | None:
    canary = release.step("canary")
    if canary is None or canary.state != "skipped":
        return None
    return f"there is no canary: {canary.says}"


#: When the services have the version, and tell it what changes from then on.
CATCH_UP = Work(
    "catch up", "send what changed since the feed", _catch_up, _nothing_to_catch_up, _catch_up_command
)
STEPS = (
    Work("package", "add the version to the package", _package, command=_package_command),
    Work("deploy", "deploy the package", _deploy, command=_deploy_command),
    Work("feed", "feed the items", _feed, command=_feed_command),
    Work("prune", "take out what left the catalogue", _prune, _nothing_to_prune, _prune_command),
    Work("verify", "compare what was fed with the folder", _verify, command=_verify_command),
)
