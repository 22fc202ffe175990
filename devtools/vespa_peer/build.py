"""Builds the Java part once per state of its sources, into ``target/``."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
TARGET = HERE / "target"
_STAMP = TARGET / "built-from"
_CLASS_PATH = TARGET / "classpath.txt"


class BuildError(RuntimeError):
    """Our Java does not compile; the message ends with what Maven said."""


class ArtifactsMissingError(RuntimeError):
    """The artifacts are neither here nor to be had; the message is one line."""


@cache
def missing() -> str | None:
    """What this machine lacks for the peer, in one line; None where it has all."""
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            return f"Vespa peer: no `{tool}` on this machine (Java 17 and Maven are needed)"
    version = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', version)
    if found is None or int(found[1]) < 17:
        return f"Vespa peer: Java 17 is needed, found {version.splitlines()[0] if version else 'none'}"
    return None


def class_path() -> str:
    """Class path of the built peer; builds it first where sources changed.

    Raises:
        BuildError: our Java does not compile.
        ArtifactsMissingError: Maven found the artifacts neither in its local repository nor in a registry.
    """
    TARGET.mkdir(exist_ok=True)
    with (TARGET / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test workers may come here at once
        state = _state()
        if not _STAMP.exists() or _STAMP.read_text() != state or not _jars_are_there():
            _build()
            _STAMP.write_text(state)
    return f"{TARGET / 'classes'}{os.pathsep}{_CLASS_PATH.read_text()}"


def _state() -> str:
    digest = hashlib.sha256()
    for path in sorted([HERE / "pom.xml", *(HERE / "src").rglob("*.java")]):
        digest.update(str(path.relative_to(HERE)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _jars_are_there() -> bool:
    return all(Path(jar).exists() for jar in _CLASS_PATH.read_text().split(os.pathsep))


def _build() -> None:
    shutil.rmtree(TARGET / "classes", ignore_errors=True)
    command = ["nice", "mvn", "-q", "-B", "compile"]
    output = ""
    # Without the network first: a local repository that has all answers in seconds.
    for arguments in (["-o"], []):
        result = subprocess.run(
            [*command, *arguments], cwd=HERE, capture_output=True, text=True, check=False, timeout=900
        )
        output = result.stdout + result.stderr
        if result.returncode == 0:
            return
        if "COMPILATION ERROR" in output:
            raise BuildError("mvn compile failed:\n" + "\n".join(output.splitlines()[-15:]))
    reason = next((line for line in output.splitlines() if "ERROR" in line), "no message")
    raise ArtifactsMissingError(f"Vespa peer: Maven cannot get Vespa's artifacts ({reason.strip()[:200]})")
