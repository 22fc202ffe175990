"""Known vulnerabilities of what lock files bring: `pip-audit`, and a check that it really looked.

`pip-audit` says nothing and ends well where it could look nothing up, for instance behind a mirror that has
no vulnerabilities to tell. So a lock passes only if every package of it was looked up::

    python -m devtools.audit --tool .venv/supply/bin/pip-audit requirements/cpu.txt
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

_PATIENCE_S = 600


def locked(lock: Path) -> set[str]:
    """Names of the packages that a lock brings to this Python on this system."""
    lines = (line.rstrip("\\ ") for line in lock.read_text().splitlines())
    found = [Requirement(line) for line in lines if re.match(r"[A-Za-z0-9]", line)]
    return {_plain(each.name) for each in found if each.marker is None or each.marker.evaluate()}


def faults(lock: Path, answer: str) -> list[str]:
    """Why a lock does not pass, by the answer of `pip-audit --format json`."""
    try:
        looked_at: list[dict[str, Any]] = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return [f"{lock.name}: the tool gave no answer"]
    wanted = locked(lock)
    skipped = {_plain(each["name"]) for each in looked_at if "vulns" not in each}
    audited = {_plain(each["name"]) for each in looked_at} - skipped
    found = [
        f"{lock.name}: {each['name']} {each['version']}: {known['id']}"
        for each in looked_at
        for known in each.get("vulns", [])
    ]
    if not wanted:
        found.append(f"{lock.name}: it locks nothing")
    if missing := wanted - audited:
        names = ", ".join(sorted(missing)[:5])
        found.append(f"{lock.name}: {len(missing)} of {len(wanted)} packages were not looked up, as {names}")
    return found


def main(arguments: list[str] | None = None) -> int:
    """0 where every package of every lock was looked up and has no known vulnerability."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", default="pip-audit")
    parser.add_argument("locks", nargs="+", type=Path)
    given = parser.parse_args(arguments)
    found = []
    for lock in given.locks:
        command = [given.tool, "--requirement", str(lock), "--require-hashes", "--disable-pip"]
        command += ["--format", "json", "--progress-spinner", "off"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
        faulty = faults(lock, done.stdout)
        if faulty and done.stderr:
            sys.stderr.write(done.stderr[-2000:])
        found += faulty
        print(f"{lock.name}: {len(locked(lock))} packages, {'not passed' if faulty else 'passed'}")
    for fault in found:
        print(fault)
    return 1 if found else 0


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
