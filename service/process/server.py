"""Runs the application under uvicorn, in one process or in several workers.

The application is imported where it runs: the parent of several workers only watches over them, and stays
small because it never loads what they load. Workers are forked from a fork server, which has imported the
libraries and nothing else: they share its pages and start faster. Each worker reads the settings, with the
extensions that they load; sessions, indexes and threads belong to it and are made after the fork.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any, Literal

from common.hints import absent
from common.memory import share_arena
from index.engines import ENGINES
from service.errors import StartError, not_set
from service.process.bound import PARENT_VARIABLE
from service.process.connections import raise_descriptor_limit
from service.process.ends import counting
from service.process.probes import OneProcess, Workers, probing
from service.process.shared_metrics import shared_folder
from service.process.sharing import Counts, row_of
from service.settings import Arm, Server, Settings
from service.telemetry import logs

log = logging.getLogger("mrse.service")

ReadSettings = Callable[[], Settings]
#: What every worker imports, whatever its engine.
_LIBRARIES = (
    "service.process.bound",  # before the others: it ends the fork server with its parent
    "service.process.worker",
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
            after another, with all settings but their number and where they listen and count.

    Raises:
        SettingsError: the settings cannot be used.
        StartError: the port is taken, or bundle and index are not named or cannot be served.
        ExtensionError: an extension cannot be imported.
    """
    share_arena()
    settings = read_settings()
    refuse_missing(settings)
    refuse_absent(settings)
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


def refuse_absent(settings: Settings) -> None:
    """Check that what is named as bundle and index is such, before anything is started.

    Raises:
        StartError: it is not; says which command makes it.
    """
    for arm in list(settings.experiments.get("towers", {}).values()) or [Arm()]:
        _refuse_absent("bundle", arm.bundle or settings.bundle.path)
        index = arm.index or settings.index.path
        if settings.index.engine == "embedded":
            _refuse_absent("index", index)
        elif index is not None and not index.exists():
            raise StartError(f"index {index}: there is no such file or folder")


def _refuse_absent(what: Literal["bundle", "index"], path: Path | None) -> None:
    if path is not None and (why := absent(what, path)) is not None:
        raise StartError(f"{what} {path}: {why}")


def _run_one(settings: Settings, read_settings: ReadSettings) -> None:
    from service.app import create_app
    from service.process import leaving
    from service.process.configuration import server_config

    failures: list[StartError] = []
    apart = settings.server.admin_port != 0

    def fatal(error: StartError) -> None:
        failures.append(error)
        server.leave(quick=True)

    app = create_app(settings, on_fatal=fatal, read_again=read_settings)
    server = leaving.Server(
        server_config(settings, app),
        lame_duck_s=settings.server.lame_duck_s,
        on_leaving=app.state.runtime.leave,
        on_hangup=app.state.reloader.ask,
        url_of=None if apart else settings.server.url,
    )
    try:
        with (
            probing(settings.server, lambda: OneProcess(app.state.runtime)),
            _exit_means_not_listening(settings),
            _bound(settings) if apart else nullcontext() as listeners,
        ):
            server.run(listeners)
    except KeyboardInterrupt:
        return  # uvicorn raises the signal again once it has drained
    if failures:
        raise failures[0]


def _run_many(settings: Settings, read_settings: ReadSettings) -> None:
    from service.process.supervisor import Supervisor

    server = settings.server
    with shared_folder(server.metrics_folder) as folder, _bound(settings) as listeners:
        context = _start_method([*_LIBRARIES, *ENGINES[settings.index.engine].preload])
        connections = RawArray("q", row_of(server.workers))

        def start(number: int, early: bool, given: bytes | None) -> tuple[BaseProcess, Connection]:
            ours, its = context.Pipe()
            try:
                process = context.Process(  # type: ignore[attr-defined]  # of every start method
                    target=_work,
                    args=(read_settings, listeners, its, number, early, server.workers, connections, given),
                    name=f"worker-{number}",
                )
                process.start()
            except BaseException:
                ours.close()
                raise
            finally:
                its.close()
            return process, ours

        counted, reloaded = counting(folder)

        def ended(number: int, how: str | None) -> None:
            Counts(connections, number).leave()
            counted(number, how)

        supervisor = Supervisor(
            start,
            listeners,
            server.workers,
            server.lame_duck_s + server.drain_s,
            ended,
            reloaded=reloaded,
            again=server.watch_config,
        )
        with probing(server, lambda: Workers(folder, supervisor.reasons)):
            supervisor.run()


def _work(*args: Any) -> None:
    from service.process.worker import work  # in the worker alone, for it loads much

    work(*args)


@contextmanager
def _bound(settings: Settings) -> Iterator[list[socket.socket]]:
    """Sockets at the settings' ports, on which nobody listens yet: that of all calls, or those of both kinds.

    Raises:
        StartError: a port is taken.
    """
    server = settings.server
    with ExitStack() as open_:
        listeners = [open_.enter_context(_bind(server, server.port))]
        log.info("listening on %s", server.url(listeners[0].getsockname()[1]))
        if server.admin_port:
            listeners.append(open_.enter_context(_bind(server, server.admin_port)))
            log.info("listening on %s for changes and metrics", server.url(server.admin_port))
        yield listeners


def _bind(server: Server, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(server.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise StartError(f"cannot listen on {server.host}:{port}: {error.strerror or error}") from error
    return listener


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
    os.environ.update({"PYTHONPATH": paths, "PYTHONSAFEPATH": "1", PARENT_VARIABLE: str(os.getpid())})
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
