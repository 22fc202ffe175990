"""Which hosts do what: one node for development, or a production cluster.

A layout is a TOML file; one that names no hosts is the development layout::

    config = ["c1.example", "c2.example", "c3.example"]   # three, or one: an odd number
    query  = ["q1.example", "q2.example"]
    feed   = ["f1.example"]
    groups = [["a1.example", "a2.example"], ["b1.example", "b2.example"]]
    port   = 8080                                         # all from here on is optional
    feed_port = 8081                                      # where query and feed share a host
    copies = 2                                            # of each item, where there is one group
    query_heap_mb = 4096                                  # of each container's JVM
    feed_heap_mb = 2048
    feed_concurrency = 0.5                                # share of a content node's cores for feeding
    disk_limit = 0.75                                     # share in use above which a feed is blocked
    memory_limit = 0.8
    [tls]                                                 # clients must show a certificate
    key = "/etc/vespa/key.pem"                            # paths on the container hosts
    certificate = "/etc/vespa/certificate.pem"
    ca = "/etc/vespa/ca.pem"
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from common.errors import MrseError

DEFAULT_PORT: Final = 8080
_ROLES: Final = ("config", "query", "feed", "groups")

#: Keys that are numbers, and their bounds; whole ones have whole bounds.
_BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "port": (1, 65535),
    "feed_port": (1, 65535),
    "copies": (1, 8),
    "query_heap_mb": (256, 65536),
    "feed_heap_mb": (256, 65536),
    "feed_concurrency": (0.05, 1.0),
    "disk_limit": (0.1, 0.99),
    "memory_limit": (0.1, 0.99),
}


class LayoutError(MrseError, ValueError):
    """A layout that cannot be rendered; the message says what was found and what was expected."""


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files on the container hosts; clients must show a certificate that ``ca`` signed."""

    key: str
    certificate: str
    ca: str


@dataclass(frozen=True, slots=True)
class Layout:
    """Hosts by role; all roles are empty for the development layout, which has everything on one node.

    Raises:
        LayoutError: a role without hosts, groups of different sizes, a content host in two places.
    """

    config: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    feed: tuple[str, ...] = ()
    #: Hosts of each content group; every group holds every document.
    groups: tuple[tuple[str, ...], ...] = ()
    #: Of the HTTP servers for queries and feed.
    port: int = DEFAULT_PORT
    #: Of the same servers; None for plain HTTP, which is for networks that nobody else is on.
    tls: Tls | None = None
    #: Of the HTTP server for feed; None for the same as `port`.
    feed_port: int | None = None
    #: Copies of each item; None for one in each group. Other numbers are for one group.
    copies: int | None = None
    #: Megabytes of the heap of each container; None for Vespa's own choice, a share of the host's memory.
    query_heap_mb: int | None = None
    feed_heap_mb: int | None = None
    #: Share of a content node's cores that feeding may take; None for Vespa's own.
    feed_concurrency: float | None = None
    #: Shares of a content node's disk and memory above which Vespa blocks a feed; None for its own.
    disk_limit: float | None = None
    memory_limit: float | None = None

    def __post_init__(self) -> None:
        for name, (lowest, highest) in _BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not lowest <= value <= highest:
                raise LayoutError(f"{name}: {value}, from {lowest} to {highest} was expected")
        if self.is_dev and not (self.config or self.query or self.feed or self.tls):
            if given := [name for name in _BOUNDS if name != "port" and getattr(self, name) is not None]:
                raise LayoutError(f"{given[0]}: for a layout with hosts; the one node has defaults")
            return
        for role in _ROLES:
            if not getattr(self, role):
                raise LayoutError(f"{role}: no hosts, at least one was expected")
        if len(self.config) % 2 == 0:
            raise LayoutError(
                f"config: {len(self.config)} hosts, an odd number was expected (a majority must survive)"
            )
        sizes = [len(group) for group in self.groups]
        if len(set(sizes)) > 1:
            raise LayoutError(f"groups: sizes {sizes}, equal ones were expected")
        if self.copies is not None and len(self.groups) > 1 and self.copies != len(self.groups):
            raise LayoutError(f"copies: {self.copies} with {len(self.groups)} groups, which hold one each")
        if self.copies is not None and len(self.groups) == 1 and self.copies > sizes[0]:
            raise LayoutError(f"copies: {self.copies} on {sizes[0]} hosts")
        shared = sorted(set(self.query) & set(self.feed))
        if shared and self.feed_port in (None, self.port):
            raise LayoutError(f"feed_port: {shared[0]} has query and feed, which need a port each")
        content = [host for group in self.groups for host in group]
        if len(set(content)) < len(content):
            raise LayoutError("groups: a host stands twice, each once was expected")

    @classmethod
    def read(cls, path: Path) -> Layout:
        """A layout from a TOML file, see the module.

        Raises:
            LayoutError: not TOML, an unknown or missing key, a wrong type, or hosts that do not go together.
        """
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise LayoutError(f"{path}: {error}") from error
        unknown = raw.keys() - {*_ROLES, *_BOUNDS, "tls"}
        if unknown:
            raise LayoutError(f"{path}: unknown key {sorted(unknown)[0]!r}")
        groups = raw.get("groups", [])
        if not isinstance(groups, list):
            raise LayoutError(f"{path}: groups must be a list of lists of hosts")
        numbers = {name: _number(path, name, raw[name]) for name in _BOUNDS if name in raw}
        if raw.keys() <= {"port"}:
            return cls(**numbers)
        return cls(
            config=_hosts(path, "config", raw.get("config")),
            query=_hosts(path, "query", raw.get("query")),
            feed=_hosts(path, "feed", raw.get("feed")),
            groups=tuple(_hosts(path, "groups", group) for group in groups),
            tls=_tls(path, raw.get("tls")),
            **numbers,
        )

    @property
    def is_dev(self) -> bool:
        """Whether everything stands on one node."""
        return not self.groups

    def to_toml(self) -> str:
        """The file that `read` reads."""
        lines = [f"port = {self.port}"]
        if not self.is_dev:
            # A list of strings is written in JSON as in TOML.
            lines += [f"{role} = {json.dumps(getattr(self, role))}" for role in _ROLES]
            numbers = {name: getattr(self, name) for name in _BOUNDS if name != "port"}
            lines += [f"{name} = {value}" for name, value in numbers.items() if value is not None]
        if self.tls is not None:
            lines += ["[tls]", *(f"{file} = {json.dumps(path)}" for file, path in asdict(self.tls).items())]
        return "\n".join(lines) + "\n"

    def aliases(self) -> Iterator[tuple[str, list[str]]]:
        """Hosts in a stable order, each with the aliases that services.xml knows it by."""
        if self.is_dev:
            yield "localhost", ["node1"]
            return
        content = tuple(host for group in self.groups for host in group)
        roles = (("config", self.config, 1), ("query", self.query, 1), ("feed", self.feed, 1))
        named: dict[str, list[str]] = {}
        for role, hosts, first in (*roles, ("content", content, 0)):
            for number, host in enumerate(hosts, first):
                named.setdefault(host, []).append(f"{role}{number}")
        yield from named.items()


def _number(path: Path, name: str, value: object) -> Any:
    whole = isinstance(_BOUNDS[name][1], int)
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise LayoutError(f"{path}: {name} must be a {'whole ' if whole else ''}number, found {value!r}")
    return value


def _hosts(path: Path, role: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(host, str) and host for host in value):
        raise LayoutError(f"{path}: {role} must be a list of host names, found {value!r}")
    return tuple(value)


def _tls(path: Path, value: object) -> Tls | None:
    if value is None:
        return None
    if not isinstance(value, dict) or value.keys() != {"key", "certificate", "ca"}:
        raise LayoutError(f"{path}: [tls] needs key, certificate and ca, found {value!r}")
    if not all(isinstance(file, str) and file.startswith("/") for file in value.values()):
        raise LayoutError(f"{path}: [tls] names files by their absolute paths on the hosts")
    return Tls(**value)
