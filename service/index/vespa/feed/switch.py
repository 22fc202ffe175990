"""Shifting traffic between versions: the weights of an experiment's arms in the service's TOML file.

The file is the operator's: only the numbers behind ``weight`` change, comments and order stay.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_TABLE: Final = "experiments"
_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?")
_WEIGHT = re.compile(r"(\s*weight\s*=\s*)([^#\s]+)(.*)")


class SwitchRefused(ValueError):  # noqa: N818 -- the state of a file
    """The weights cannot be set; the file is as it was."""


def weights(text: str, experiment: str) -> dict[str, float]:
    """The arms of an experiment and their weights; an arm without one has 1.

    Raises:
        SwitchRefused: not TOML, or no such experiment.
    """
    arms = _arms(_parse(text), experiment)
    return {arm: float(variant.get("weight", 1.0)) for arm, variant in arms.items()}


def with_weights(text: str, experiment: str, changes: Mapping[str, float]) -> str:
    """The file's text with other weights for some arms, each in a table of its own::

        [experiments.towers.treatment]
        weight = 0.1

    Raises:
        SwitchRefused: an arm is not there, no arm would have weight, or the file is written in another way.
    """
    before = _parse(text)
    arms = _arms(before, experiment)
    if missing := changes.keys() - arms.keys():
        raise SwitchRefused(f"{experiment} has no arm {', '.join(sorted(missing))}; it has {', '.join(arms)}")
    if any(not math.isfinite(weight) or weight < 0 for weight in changes.values()):
        raise SwitchRefused("a weight is a number of 0 or more")
    if not any(weight > 0 for weight in (weights(text, experiment) | dict(changes)).values()):
        raise SwitchRefused(f"no arm of {experiment} would have weight")
    changed = text
    for arm, weight in changes.items():
        changed = _set(changed, f"{_TABLE}.{experiment}.{arm}", weight)
    for arm, weight in changes.items():
        arms[arm]["weight"] = weight
    # `arms` is part of `before`: what is written must differ from it in nothing else.
    if _parse(changed) != before:
        raise SwitchRefused(
            f"the arms of {experiment} are not written as tables [{_TABLE}.{experiment}.ARM]; "
            "write them so, or change the weights by hand"
        )
    return changed


def switch(path: Path, experiment: str, changes: Mapping[str, float]) -> None:
    """Set weights in a file, atomically. The service takes them when it is restarted, arm by arm alike.

    Raises:
        SwitchRefused: as `with_weights`.
        OSError: the file cannot be read or written.
    """
    changed = with_weights(path.read_text(encoding="utf-8"), experiment, changes)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(changed)
        file.flush()
        os.fsync(file.fileno())
    partial.chmod(path.stat().st_mode & 0o7777)
    partial.replace(path)


def _set(text: str, table: str, weight: float) -> str:
    lines = text.splitlines(keepends=True)
    inside, header = False, None
    for number, line in enumerate(lines):
        found = _HEADER.fullmatch(line.rstrip("\r\n"))
        if found or line.lstrip().startswith("["):
            inside = found is not None and _key(found[1]) == table
            header = number if inside else header
            continue
        assignment = _WEIGHT.fullmatch(line.rstrip("\r\n")) if inside else None
        if assignment:
            lines[number] = f"{assignment[1]}{weight!r}{assignment[3]}{_ending(line)}"
            return "".join(lines)
    if header is not None:
        ending = _ending(lines[header]) or "\n"
        lines[header] = lines[header].rstrip("\r\n") + ending
        lines.insert(header + 1, f"weight = {weight!r}{ending}")
    return "".join(lines)


def _key(header: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in header.split("."))


def _ending(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]


def _parse(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SwitchRefused(f"not TOML: {error}") from error


def _arms(content: Mapping[str, Any], experiment: str) -> dict[str, dict[str, Any]]:
    experiments = content.get(_TABLE, {})
    arms = experiments.get(experiment) if isinstance(experiments, dict) else None
    if not isinstance(arms, dict) or not all(isinstance(arm, dict) for arm in arms.values()):
        raise SwitchRefused(f"the file has no experiment {experiment}")
    return arms
