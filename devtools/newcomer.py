"""Follows README and the tutorial as a newcomer does: from a fresh clone, with an empty home.

::

    python -m devtools.newcomer [--full] [--ablate]

Every command of both runs as it stands, in order; ports are free ones; without ``--full`` the training is
the shorter one that the tutorial names, of the preset ``tiny`` on 1,000 items. ``--ablate`` goes on with the
ablations that other pages show, of that preset and one seed, for as written they take hours.

It needs git, Python, make and a package index; of the checkout it takes what is committed. It prints what
took how long, by the clock and in seconds of CPU, which others on the machine change little, and stops at
the first command that fails.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from devtools.pages import ROOT, blocks, elsewhere, examples
from devtools.running import running, sh
from devtools.waiting import free_port

#: What of the environment a newcomer has as well: the way to the package index, and how threads wait for each
#: other (``OMP_WAIT_POLICY=PASSIVE`` on a machine that others use too, where they spin in vain otherwise).
_KEPT = ("PIP_", "UV_", "SSL_", "HTTP", "http", "no_proxy", "NO_PROXY", "LANG", "TERM", "OMP_")

_HERE = "devtools/newcomer.py"
#: Of an ablation; what comes last on a line counts.
_SMALLEST = "--preset tiny --seeds 1"


class Newcomer:
    """A clone, a home, and what was done so far."""

    def __init__(self, folder: Path, *, full: bool) -> None:
        self.clone, self.full = folder / "mrse-recall", full
        home = folder / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(self.clone)], check=True)
        self.variables = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
        self.variables |= {"HOME": str(home), "PATH": f"{self.clone}/.venv/bin:{_path()}"}

    def do(self, command: str) -> str:
        """Run it, and say how long it took."""
        start, command = _Clock(), self._smaller(command)
        said = sh(command, self.clone, self.variables)
        start.tell(command)
        return said

    def serve(self, command: str, asks: str) -> str:
        """Start it, ask it, end it; gives what was answered."""
        start, port = _Clock(), free_port()
        command = command.replace("--port 8080", f"--port {port}").replace(
            "make run", f"make run PORT={port}"
        )
        with running(command, self.clone, port, self.variables):
            start.tell(command)
            if asks.startswith("mrse"):
                return self.do(f"{asks} --url http://127.0.0.1:{port}")
            return self.do(asks.replace(":8080", f":{port}"))

    def _smaller(self, command: str) -> str:
        if self.full:
            return command
        return command.replace("--preset demo", "--preset tiny").replace("--items 4000", "--items 1000")


class _Clock:
    """Seconds since it was made, by the clock and of CPU of children that ended."""

    def __init__(self) -> None:
        self._start, self._cpu = time.monotonic(), _cpu()

    def tell(self, command: str) -> None:
        """Print them beside the command; what a service that runs on took is told at its end."""
        clock, cpu = time.monotonic() - self._start, _cpu() - self._cpu
        print(f"{clock:7.1f} s  {cpu:7.1f} s of CPU  {_short(command)}", flush=True)


def main() -> int:
    """Follow both pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--full", action="store_true", help="train the preset demo on 4,000 items, as written"
    )
    parser.add_argument(
        "--ablate", action="store_true", help="run the ablations that other pages show too, made small"
    )
    arguments = parser.parse_args()
    make_run, curl = blocks("README.md", "sh")
    again, files, check, embed, serve, ask, shop, train, ask_again = blocks("docs/start.md", "sh", run=True)
    assert again == make_run, "README and tutorial begin alike"
    (activate,) = elsewhere("docs/start.md", _HERE)
    ablations = [*elsewhere("docs/synthetic.md", _HERE), examples()["ablate"]] if arguments.ablate else []
    with tempfile.TemporaryDirectory() as folder:
        newcomer, whole = Newcomer(Path(folder), full=arguments.full), _Clock()
        answer = json.loads(newcomer.serve(make_run, curl))
        assert answer["items"], answer
        newcomer.do(f'{activate}\n[ "$(command -v mrse)" = "$PWD/.venv/bin/mrse" ]')
        for command in (files, check, embed):
            newcomer.do(command)
        print(newcomer.serve(serve, ask))
        newcomer.do("make dev")
        newcomer.do(shop)
        *steps, serve = train.splitlines()
        for command in steps:
            newcomer.do(command)
        print(newcomer.serve(serve, ask_again))
        for place, command in enumerate(ablations):
            print(newcomer.do(f"{command} {_SMALLEST} --out ablation-{place}"))
        whole.tell("all of it")
    return 0


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _path() -> str:
    """The search path without environments."""
    parts = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(part for part in parts if ".venv" not in part)


def _short(command: str) -> str:
    first = command.splitlines()[0].split("  #")[0].rstrip()
    return first if len(command.splitlines()) == 1 else f"{first} …"


if __name__ == "__main__":
    sys.exit(main())
