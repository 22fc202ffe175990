"""Which hosts do what: one node for development, or a production cluster.

A production layout is a TOML file::

    config = ["c1.example", "c2.example", "c3.example"]   # three, or one: an odd number
    query  = ["q1.example", "q2.example"]
    feed   = ["f1.example"]
    groups = [["a1.example", "a2.example"], ["b1.example", "b2.example"]]
    port   = 8080                                         # optional
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DEFAULT_PORT = 8080


class LayoutError(ValueError):
    """A layout that cannot be rendered; the message says what was found and what was expected."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Hosts by role; all roles are empty for the one-node development layout."""

    config: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    feed: tuple[str, ...] = ()
    #: Hosts of each content group; every group holds every document.
    groups: tuple[tuple[str, ...], ...] = ()
    #: Of the HTTP servers for queries and feed.
    port: int = DEFAULT_PORT

    @classmethod
    def dev(cls, port: int = DEFAULT_PORT) -> Layout:
        """Everything on one node."""
        return cls(port=port)

    @classmethod
    def production(
        cls,
        *,
        config: tuple[str, ...],
        query: tuple[str, ...],
        feed: tuple[str, ...],
        groups: tuple[tuple[str, ...], ...],
        port: int = DEFAULT_PORT,
    ) -> Layout:
        """A cluster.

        Raises:
            LayoutError: a role without hosts, groups of different sizes, a content host in two places.
        """
        for role, hosts in (("config", config), ("query", query), ("feed", feed), ("groups", groups)):
            if not hosts:
                raise LayoutError(f"{role}: no hosts, at least one was expected")
        if len(config) % 2 == 0:
            raise LayoutError(
                f"config: {len(config)} hosts, an odd number was expected (a majority must survive)"
            )
        if len({len(group) for group in groups}) > 1:
            raise LayoutError(f"groups: sizes {[len(group) for group in groups]}, equal ones were expected")
        content = [host for group in groups for host in group]
        if len(set(content)) < len(content):
            raise LayoutError("groups: a host stands twice, each once was expected")
        return cls(config=config, query=query, feed=feed, groups=groups, port=port)

    @classmethod
    def read(cls, path: Path) -> Layout:
        """A production layout from a TOML file, see the module.

        Raises:
            LayoutError: not TOML, an unknown or missing key, a wrong type, or as `production`.
        """
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise LayoutError(f"{path}: {error}") from error
        unknown = raw.keys() - {"config", "query", "feed", "groups", "port"}
        if unknown:
            raise LayoutError(f"{path}: unknown key {sorted(unknown)[0]!r}")
        port = raw.get("port", DEFAULT_PORT)
        groups = raw.get("groups", [])
        if not isinstance(port, int) or not isinstance(groups, list):
            raise LayoutError(f"{path}: port must be a whole number and groups a list of lists of hosts")
        return cls.production(
            config=_hosts(path, "config", raw.get("config")),
            query=_hosts(path, "query", raw.get("query")),
            feed=_hosts(path, "feed", raw.get("feed")),
            groups=tuple(_hosts(path, "groups", group) for group in groups),
            port=port,
        )

    @property
    def is_dev(self) -> bool:
        """Whether everything stands on one node."""
        return not self.groups

    def aliases(self) -> Iterator[tuple[str, list[str]]]:
        """Hosts in a stable order, each with the aliases that services.xml knows it by."""
        if self.is_dev:
            yield "localhost", ["node1"]
            return
        named: dict[str, list[str]] = {}
        for role, hosts in (("config", self.config), ("query", self.query), ("feed", self.feed)):
            for number, host in enumerate(hosts, start=1):
                named.setdefault(host, []).append(f"{role}{number}")
        key = 0
        for group in self.groups:
            for host in group:
                named.setdefault(host, []).append(f"content{key}")
                key += 1
        yield from named.items()


def _hosts(path: Path, role: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(host, str) and host for host in value):
        raise LayoutError(f"{path}: {role} must be a list of host names, found {value!r}")
    return tuple(value)
