"""The steps from the shop's files to an index that could serve, each an `mrse` command."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cli.release.commands import StepFailed, mrse
from cli.release.gate import judge
from cli.release.plan import Train
from cli.release.release import Outcome, Release, Work
from cli.release.state import now
from common.errors import NOT_IN_ORDER
from common.files import replace_text

_DAY_S = 86_400.0


def _or_not(code: int) -> bool:
    """A command that judges ends with 1 where what it judges is not in order."""
    return code in (0, NOT_IN_ORDER)


def _check_command(release: Release) -> Sequence[str]:
    return ("check", str(release.plan.shop), "--limit", "5")


def _check(release: Release) -> Outcome:
    found = mrse(_check_command(release), fine=_or_not)
    if found["exit_code"]:
        first = found["first"][0] if found["first"] else {}
        place = ":".join(str(first[key]) for key in ("file", "line", "column") if first.get(key) is not None)
        raise StepFailed(
            f"{release.plan.shop} has {found['problems']} problems, the first in {place}; "
            f"`mrse check {release.plan.shop}` shows all"
        )
    return Outcome(f"no problems, {found['warnings']} warnings")


def training_digest(train: Train | None) -> str:
    """Tells trainings by other settings apart; how often one trains is none of them."""
    if train is None:
        return ""
    settings = train.model_dump_json(exclude={"every_days", "device"})
    return hashlib.sha256(settings.encode()).hexdigest()[:16]


def _no_training(release: Release) -> str | None:
    plan, before = release.plan, release.before
    if plan.train is None:
        return (
            "a bundle is given"
            if plan.bundle is not None
            else "no table [train]: the bundle that serves stays"
        )
    last = next((past for past in reversed(release.file.state.history) if past.verdict == "promoted"), None)
    if before is None or before.trained is None or last is None:
        return None
    days = (now() - before.trained) / _DAY_S
    if last.training == training_digest(plan.train) and days < plan.train.every_days:
        return f"what serves was trained {days:.1f} days ago (train.every_days = {plan.train.every_days:g})"
    return None


def _train_command(release: Release) -> Sequence[str]:
    train = release.plan.train or Train()
    settings = [f"--set={key}={_plain(value)}" for key, value in train.set.items()]
    teacher = ["--teacher"] if train.teacher else []
    run = str(release.folder / "run")
    return ("train", str(release.plan.shop), "--out", run, "--preset", train.preset,
            "--device", train.device, *teacher, *settings)  # fmt: skip


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _train(release: Release) -> Outcome:
    mrse(_train_command(release))
    return Outcome(str(release.folder / "run"), {"trained": now()})


def _not_trained(release: Release) -> str | None:
    return None if release.trains else "nothing was trained"


def _export_command(release: Release) -> Sequence[str]:
    folder = release.folder
    return ("export", str(folder / "run"), "--out", str(folder / "bundles"), "--name", release.plan.name)


def _export(release: Release) -> Outcome:
    found = mrse(_export_command(release))
    return Outcome(found["version"], {"path": found["path"], "version": found["version"]})


def _no_gate(release: Release) -> str | None:
    if release.before is None:
        return "nothing serves yet"
    if release.version == release.before.version:
        return f"{release.version} is what serves"
    return None


def _gate_command(release: Release) -> Sequence[str]:
    gate, before = release.plan.gate, release.before
    against = "" if before is None else before.bundle
    return ("evaluate", str(release.plan.shop), "--bundle", release.bundle, "--against", against,
            "--split", gate.split, "--resamples", str(gate.resamples),
            "--report", str(release.folder / "evaluation.html"))  # fmt: skip


def _gate(release: Release) -> Outcome:
    assert release.before is not None
    evaluation = mrse(_gate_command(release))
    replace_text(release.folder / "evaluation.json", json.dumps(evaluation))
    judged = judge(evaluation, release.before.version, release.plan.gate)
    found = {"compared": [vars(line) for line in judged.lines]}
    return Outcome(judged.says, found, "refused" if judged.refused else "done")


def _embed_command(release: Release) -> Sequence[str]:
    embed = release.plan.embed
    return ("embed", str(release.plan.shop), "--bundle", release.bundle, "--out", str(release.embeddings),
            "--behaviours", "train" if release.plan.calibrate else "all",
            "--device", embed.device, "--threads", str(embed.threads))  # fmt: skip


def _embed(release: Release) -> Outcome:
    found = mrse(_embed_command(release))
    # A release whose canary is out goes on by another plan, with what it was made of.
    made_of = {"bundle": release.bundle, "training": training_digest(release.plan.train)}
    return Outcome(f"{found['rows']:,} items", {"rows": found["rows"], **made_of})


def _build_command(release: Release) -> Sequence[str]:
    return ("index", "build", str(release.embeddings), "--out", release.index, "--force")


def _build(release: Release) -> Outcome:
    found = mrse(_build_command(release))
    says = f"{found['rows']:,} items, version {found['index_version']}, {found['kind']}"
    if not release.plan.calibrate and _keeps_curves(release):
        says += ", with the curves of before"
    return Outcome(says, {"index_version": found["index_version"]})


def _keeps_curves(release: Release) -> bool:
    """Whether the new index is of the bundle that serves, and gets what was fitted for that one's index."""
    from service.recall.calibration import carry

    before = release.before
    if before is None or before.version != release.version:
        return False
    return carry(Path(before.index), Path(release.index))


def _calibrate_command(release: Release) -> Sequence[str]:
    plan = release.plan
    return ("calibrate", str(plan.shop), "--bundle", release.bundle, "--index", release.index,
            "--config", str(plan.config), "--split", plan.gate.split)  # fmt: skip


def _calibrate(release: Release) -> Outcome:
    fitted = mrse(_calibrate_command(release))["fitted"]
    stays = fitted.get("kept") == "built-in"
    says = "the built-in curve stays: a fit is no better" if stays else "fitted"
    return Outcome(f"{says} on {fitted['requests']:,} requests")


def _no_calibration(release: Release) -> str | None:
    return None if release.plan.calibrate else "calibrate = false"


def _verify_command(release: Release) -> Sequence[str]:
    return ("index", "verify", release.index)


def _verify(release: Release) -> Outcome:
    found = mrse(_verify_command(release), fine=_or_not)
    if found["exit_code"]:
        raise StepFailed(f"{release.index} is damaged: {found['damaged'][0]}; begin anew with --fresh")
    return Outcome("every byte is as it was written")


def _produce(release: Release) -> Outcome:
    from service.settings.load import load_settings

    url = load_settings(release.plan.config).redis.url
    if url is None:
        raise StepFailed(f"produce needs a Redis: {release.plan.config} sets no redis.url")
    plan, bundle, done = release.plan, release.bundle, []
    commands: dict[str, Sequence[str]] = {
        "items": ("items", str(release.embeddings)),
        "queries": ("queries", str(plan.shop), "--bundle", bundle),
        "portraits": ("portraits", str(plan.shop), "--bundle", bundle, "--features", str(release.embeddings)),
    }
    for what in plan.produce:
        # In the environment: everybody on the machine can read a command's arguments.
        mrse(("produce", *commands[what]), MRSE_REDIS_URL=url.get_secret_value())
        done.append(what)
    return Outcome(", ".join(done))


def _no_produce(release: Release) -> str | None:
    return None if release.plan.produce else "nothing is named in produce"


def _changes_command(release: Release) -> Sequence[str]:
    return ("index", "update", release.index, str(release.plan.changes))


def _changes(release: Release) -> Outcome:
    changes = release.plan.changes
    assert changes is not None
    if not changes.is_file() or not changes.stat().st_size:
        return Outcome(f"{changes} is empty", state="skipped")
    found = mrse(_changes_command(release), fine=_or_not)
    return Outcome(f"{found['written']:,} items written, {len(found['unknown']):,} unknown")


def _no_changes(release: Release) -> str | None:
    return None if release.plan.changes is not None else "no file of changes is named"


CHECK = Work("check", "look for problems in the shop's files", _check, command=_check_command)
TRAIN = Work("train", "train a bundle", _train, _no_training, _train_command)
EXPORT = Work("export", "make graphs of it", _export, _not_trained, _export_command)
GATE = Work("gate", "compare it with what serves", _gate, _no_gate, _gate_command)
EMBED = Work("embed", "embed the catalogue", _embed, command=_embed_command)
BUILD = Work("build", "build the index", _build, command=_build_command)
CALIBRATE = Work("calibrate", "fit what routes are worth", _calibrate, _no_calibration, _calibrate_command)
VERIFY = Work("verify", "read every byte of it", _verify, command=_verify_command)
PRODUCE = Work("produce", "fill Redis for the bundle", _produce, _no_produce)
CHANGES = Work("changes", "apply what changed since the export", _changes, _no_changes, _changes_command)
