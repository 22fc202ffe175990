"""Vespa's own container over content nodes of ours, and Vespa's own code as judge.

What is Vespa's: HTTP server, query profiles, YQL, checks, dispatcher, coverage, renderers, document/v1,
the model and its validators. What is ours: the content nodes, which search exactly, and the store.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from devtools.vespa_peer.build import TARGET, class_path
from devtools.vespa_peer.lines import LineProcess, PeerError

#: Starts that may find their port taken.
_ATTEMPTS = 3

_numbers = itertools.count()


def _log(name: str) -> Path:
    folder = TARGET / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}-{os.getpid()}-{next(_numbers)}.log"


def _absolute(folder: Path) -> str:
    """A folder's path for the Java process, whose working directory is another."""
    return str(folder.absolute())


@dataclass(frozen=True)
class Verdict:
    """What Vespa says: refused with ``error``, or accepted with warnings and what a change brings about."""

    ok: bool
    error: str = ""
    warnings: tuple[str, ...] = ()
    #: As ``RESTART id: text``, ``REFEED id: text`` or ``REINDEX id: text``.
    actions: tuple[str, ...] = ()


class Judge:
    """Vespa's model, query builder and document reader, in one process for many questions."""

    def __init__(self) -> None:
        self._process = LineProcess(["judge"], log=_log("judge"))

    def package(self, application: Path, previous: Path | None = None) -> Verdict:
        """Whether Vespa would take the package, after ``previous`` where that is given."""
        request = {"op": "package", "path": _absolute(application)}
        if previous is not None:
            request["previous"] = _absolute(previous)
        return _verdict(self._process.ask(request))

    def query(self, application: Path, params: Mapping[str, Any]) -> dict[str, Any]:
        """What Vespa's query builder makes of a request: ``{"ok", "error", "tree", "hits", …}``."""
        return self._process.ask({"op": "query", "path": _absolute(application), "params": dict(params)})

    def feed(self, application: Path, operations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What Vespa's document reader makes of document/v1 operations.

        Each operation is ``{"method": "POST" | "PUT" | "DELETE", "id": document id, "body": text,
        "condition": text}``, the last two where they are sent; the answer holds ``"documents"``, one each.
        """
        return self._process.ask(
            {"op": "feed", "path": _absolute(application), "operations": [dict(each) for each in operations]}
        )

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


class Peer:
    """A running container; use `start_peer`."""

    def __init__(self, process: LineProcess, port: int, config_port: int) -> None:
        self._process = process
        self.port = port
        self.config_port = config_port

    @property
    def url(self) -> str:
        """Base of ``/search/`` and ``/document/v1/``."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def config_url(self) -> str:
        """Base of the endpoints that a config server has for deploying, with Vespa's validation behind."""
        return f"http://127.0.0.1:{self.config_port}"

    def fault(self, place: str, kind: str, amount: float = 1.0, message: str = "planted") -> None:
        """Let something go wrong until `clear`.

        Args:
            place: ``node0`` …, ``nodes`` for all, or ``feed``.
            kind: on nodes ``down``, ``slow`` (ms), ``soft-timeout`` (share that is searched),
                ``match-phase`` (the same), ``ann-timeout``, ``error``, ``slow-summaries`` (ms),
                ``no-summaries``; in feeding ``overload`` (429), ``full`` (507), ``timeout`` (504), ``error``
                (500), each for that share of the operations, and ``slow`` (ms).
            amount: by kind.
            message: of an error.
        """
        self._must({"op": "fault", "place": place, "kind": kind, "amount": amount, "message": message})

    def clear(self) -> None:
        """End all faults; nodes that were down listen again (the container notices within seconds)."""
        self._must({"op": "clear"})

    def deploy(self, application: Path) -> Verdict:
        """Reconfigure the running container, as a config server does: a new type needs no restart."""
        return _verdict(self._process.ask({"op": "deploy", "path": _absolute(application)}, timeout=300))

    def count(self) -> dict[str, int]:
        """Documents in the store by type."""
        answer = self._must({"op": "count"})
        return {name: number for name, number in answer.items() if name != "ok"}

    def cpu_seconds(self) -> float:
        """CPU that the container and its content nodes have used, in ticks of the kernel (10 ms)."""
        return self._process.cpu_seconds()

    def stop(self) -> None:
        """End the process."""
        self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()

    def _must(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = self._process.ask(request)
        if not answer["ok"]:
            raise ValueError(answer["error"])
        return answer


def start_peer(application: Path, *, nodes: int = 1, groups: int = 1, port: int = 0) -> Peer:
    """Start a container with an application package, ready to be queried and fed.

    Args:
        application: any package of ours, for one node or for production: the peer keeps its schemas and
            query profiles and puts queries and feed into one container.
        nodes: content nodes in each group.
        groups: each holds every document.
        port: 0 for a free one.
    """
    class_path()
    arguments = [
        "serve",
        f"package={_absolute(application)}",
        f"nodes={nodes}",
        f"groups={groups}",
        f"port={port}",
    ]
    for attempt in range(_ATTEMPTS):
        process = LineProcess(arguments, log=_log("container"), heap="1g")
        try:
            ready = process.receive(timeout=300)
        except PeerError as error:
            process.close()
            # Between the look for a free port and its use another process may have taken it.
            if port or "Address already in use" not in str(error) or attempt == _ATTEMPTS - 1:
                raise
        except BaseException:
            process.close()
            raise
        else:
            return Peer(process, ready["port"], ready["configPort"])
    raise AssertionError("the last attempt returns or raises")


def _verdict(answer: Mapping[str, Any]) -> Verdict:
    return Verdict(
        ok=answer["ok"],
        error=answer.get("error", ""),
        warnings=tuple(answer.get("warnings", ())),
        actions=tuple(answer.get("actions", ())),
    )
