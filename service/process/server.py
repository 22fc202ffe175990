"""Runs the application under uvicorn, in one process or in several workers.

The application is imported where it runs: the parent of several workers only watches over them, and stays
small because it never loads what they load. Workers are forked from a fork server, which has imported the
libraries and nothing else: they share its pages and start faster. Each worker reads the settings, with the
extensions that they load; sessions, indexes and threads belong to it and are made after the fork.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import forkserver, get_context
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from uvicorn import _subprocess
from uvicorn.supervisors import Multiprocess

from common.metrics import SHARED_VARIABLE
from index.engines import ENGINES
from service.errors import StartError, not_set
from service.process.connections import raise_descriptor_limit
from service.process.probes import OneProcess, Workers, probing
from service.process.tls import tls_options
from service.settings import Arm, Settings
from service.telemetry import logs

if TYPE_CHECKING:
    from fastapi import FastAPI

ReadSettings = Callable[[], Settings]
#: What every worker imports, whatever its engine.
_LIBRARIES = (
    "service.app",
    "onnxruntime",
    "uvloop",
    "uvicorn.lifespan.on",
    "service.process.protocol",
)


def run(read_settings: ReadSettings) -> None:
    """Serve until SIGINT or SIGTERM, then let running requests finish.

    Args:
        read_settings: reads the settings; every worker reads its own. On SIGHUP a single process reads them
            again and takes their experiments without dropping a request; several workers are replaced one
            after another, with all settings.

    Raises:
        SettingsError: the settings cannot be used.
        StartError: the port is taken, or bundle and index are not named or cannot be served.
        ExtensionError: an extension cannot be imported.
    """
    settings = read_settings()
    refuse_missing(settings)
    logs.configure(settings.server.log_level)
    raise_descriptor_limit()
    if settings.server.workers > 1:
        _run_many(settings, read_settings)
    else:
        _run_one(settings, read_settings)


def refuse_missing(settings: Settings) -> None:
    """Check that every arm has a bundle and an index, before anything is started.

    Raises:
        StartError: one has not.
    """
    arms = list(settings.experiments.get("towers", {}).values()) or [Arm()]
    if settings.bundle.path is None and not all(arm.bundle for arm in arms):
        raise not_set("bundle")
    if settings.index.path is None and not all(arm.index for arm in arms):
        raise not_set("index")


def _run_one(settings: Settings, read_settings: ReadSettings) -> None:
    from service.app import create_app

    failures: list[StartError] = []

    def fatal(error: StartError) -> None:
        failures.append(error)
        server.should_exit = True

    app = create_app(settings, on_fatal=fatal, read_again=read_settings)
    server = uvicorn.Server(_config(settings, app))
    try:
        with (
            probing(settings.server, lambda: OneProcess(app.state.runtime)),
            _exit_means_not_listening(settings),
        ):
            server.run()
    except KeyboardInterrupt:
        return  # uvicorn raises the signal again once it has drained
    if failures:
        raise failures[0]


def _run_many(settings: Settings, read_settings: ReadSettings) -> None:
    with tempfile.TemporaryDirectory(prefix="mrse-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ[SHARED_VARIABLE] = folder  # the workers inherit it
        context = _start_method([*_LIBRARIES, *ENGINES[settings.index.engine].preload])
        # Checked once, because a worker that cannot start would be started again and again. In a process of
        # its own, so that this one, which only watches, never holds bundle, index or their libraries.
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            pool.submit(_check, read_settings).result()
        config = _config(settings, partial(_worker, read_settings), factory=True)
        with _exit_means_not_listening(settings):
            sockets = [config.bind_socket()]
        _subprocess.spawn = context  # type: ignore[assignment]  # what uvicorn starts its workers with
        with probing(settings.server, lambda: Workers(Path(folder))):
            Multiprocess(config, sockets=sockets).run()


def _start_method(libraries: list[str]) -> BaseContext:
    """Start a process that imports some modules and does nothing else; workers are its forks.

    Libraries may be forked, but not what they open: sessions and indexes belong to each fork. Outside Linux
    not all libraries can be forked, so there workers are new processes.

    Args:
        libraries: modules to import; one that cannot be imported is left to the forks.
    """
    if sys.platform != "linux":
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(libraries)
    # The fork server imports before it is told the path, so it gets the path of this process here; without
    # the working directory, which might hold a file of a library's name.
    paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    os.environ.update({"PYTHONPATH": paths, "PYTHONSAFEPATH": "1"})
    forkserver.ensure_running()
    return context


@contextmanager
def _exit_means_not_listening(settings: Settings) -> Iterator[None]:
    """Turn uvicorn's exit, when it cannot listen, into an error that says where."""
    try:
        yield
    except SystemExit as error:
        where = f"{settings.server.host}:{settings.server.port}"
        raise StartError(f"cannot listen on {where}; see the log line above") from error


def _check(read_settings: ReadSettings) -> None:
    from service.deployment import check_arms
    from service.experiments import ExperimentBook

    settings = read_settings()
    check_arms(settings, ExperimentBook(settings.experiments, settings.recall).towers.values())


def _worker(read_settings: ReadSettings) -> FastAPI:
    _keep_pages_shared()
    settings = read_settings()
    from service.app import create_app  # its schemas are made of what the settings' extensions register

    logs.configure(settings.server.log_level)
    return create_app(settings)


def _keep_pages_shared() -> None:
    """Take what was imported before the fork out of the garbage collector's sight.

    Gains memory: a collection writes to every object that it looks at, and so makes copies of the pages that
    a worker shares with the other workers.
    """
    gc.freeze()


def _config(settings: Settings, app: object, *, factory: bool = False) -> uvicorn.Config:
    server = settings.server
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # an application, or with `factory` what makes one
        factory=factory,
        host=server.host,
        port=server.port,
        workers=server.workers,
        backlog=server.backlog,
        timeout_keep_alive=server.keep_alive_s,
        timeout_graceful_shutdown=server.drain_s,
        # From the start of the process: on a busy machine loading the libraries alone takes seconds.
        timeout_worker_healthcheck=60,
        http="service.process.protocol:Protocol",
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # An address is the peer's; what proxies say of it counts where `limits.client_header` names one.
        proxy_headers=False,
        **tls_options(server),
    )
