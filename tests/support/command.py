"""The ``mrse`` command, in a process of its own and in this one."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from cli.main import main
from common.cores import BLAS_VARIABLES

ROOT = Path(__file__).parents[2]
_PLAIN = {"COLUMNS": "200", "NO_COLOR": "1"}


def mrse(
    *arguments: str, cwd: Path = ROOT, path: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run it in ``cwd``; modules in ``path`` win over installed ones."""
    found = os.pathsep.join(map(str, filter(None, (path, ROOT))))
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", "from cli.main import main; main()", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": found} | _PLAIN | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def mrse_here(*arguments: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """As `mrse`, in this process: a process of its own takes seconds to import what is here already.

    For what comes to an end, and for tests of what is said rather than of the process.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    handled = signal.getsignal(signal.SIGTERM)
    variables_before = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["mrse", *arguments])
        for name, value in (_PLAIN | variables).items():
            patch.setenv(name, value)
        for name in BLAS_VARIABLES:  # which a server sets for good
            patch.setenv(name, os.environ.get(name, "1"))
        try:
            main()
            code: object = 0
        except SystemExit as end:
            code = end.code or 0
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
            signal.signal(signal.SIGTERM, handled)
    os.environ.clear()
    os.environ.update(variables_before)
    assert isinstance(code, int), code
    said, told = (stream.buffer.getvalue().decode() for stream in (out, err))  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(arguments, code, said, told)
