"""What runs where: ``services.xml`` and ``hosts.xml`` of a layout."""

from __future__ import annotations

from itertools import count, islice
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from index.vespa.package.layout import Layout, Tls
from index.vespa.package.template import template
from index.vespa.version import Version

#: Least coverage of an answer, and the share of its time that it may wait for more. With one group nobody
#: else has the items of a slow node, so the others' answer has to do; of more groups another one is asked.
_COVERAGE_OF_ONE: Final = ("0.4", "0.3")
_COVERAGE_OF_MORE: Final = ("0.95", "1")


def render_services(versions: list[Version], layout: Layout) -> str:
    """``services.xml``: the containers and content nodes of a layout, for the document types of versions."""
    documents = "\n".join(
        f'      <document type="{version.document_type}" mode="index"/>' for version in versions
    )
    if layout.is_dev:
        return template("services-dev.xml").substitute(documents=documents, port=layout.port)
    groups, keys = [], count()
    for number, hosts in enumerate(layout.groups):
        lines = "\n".join(
            f'        <node hostalias="content{key}" distribution-key="{key}"/>'
            for key in islice(keys, len(hosts))
        )
        groups.append(
            f'      <group name="group{number}" distribution-key="{number}">\n{lines}\n      </group>'
        )
    minimum, wait = _COVERAGE_OF_ONE if len(layout.groups) == 1 else _COVERAGE_OF_MORE
    return template("services-production.xml").substitute(
        minimum=minimum,
        wait=wait,
        documents=documents,
        port=layout.port,
        ssl=_ssl(layout.tls),
        configservers=_numbered("configserver", "config", len(layout.config)),
        controllers=_numbered("cluster-controller", "config", len(layout.config)),
        query=_numbered("node", "query", len(layout.query)),
        feed=_numbered("node", "feed", len(layout.feed)),
        copies=layout.copies or len(layout.groups),
        feed_port=layout.feed_port or layout.port,
        query_jvm=_jvm(layout.query_heap_mb),
        feed_jvm=_jvm(layout.feed_heap_mb),
        feeding=_feeding(layout.feed_concurrency),
        limits=_limits(layout),
        partitions="1|" * (len(layout.groups) - 1) + "*",
        groups="\n".join(groups),
    )


def _jvm(heap_mb: int | None) -> str:
    return "" if heap_mb is None else f'\n      <jvm options="-Xms{heap_mb}m -Xmx{heap_mb}m"/>'


def _feeding(concurrency: float | None) -> str:
    if concurrency is None:
        return ""
    lines = ("<feeding>", f"  <concurrency>{concurrency}</concurrency>", "</feeding>")
    return "".join(f"\n            {line}" for line in lines)


def _limits(layout: Layout) -> str:
    shares = {"disk": layout.disk_limit, "memory": layout.memory_limit}
    lines = [f"        <{name}>{share}</{name}>" for name, share in shares.items() if share is not None]
    if not lines:
        return ""
    inside = "\n".join(["      <resource-limits>", *lines, "      </resource-limits>"])
    return f"\n    <tuning>\n{inside}\n    </tuning>"


def _ssl(tls: Tls | None) -> str:
    if tls is None:
        return ""
    files = {"private-key-file": tls.key, "certificate-file": tls.certificate, "ca-certificates-file": tls.ca}
    lines = [f"          <{name}>{escape(path)}</{name}>" for name, path in files.items()]
    lines.append("          <client-authentication>need</client-authentication>")
    return "\n        <ssl>\n" + "\n".join(lines) + "\n        </ssl>"


def _numbered(element: str, role: str, count: int) -> str:
    return "\n".join(f'      <{element} hostalias="{role}{n}"/>' for n in range(1, count + 1))


def render_hosts(layout: Layout) -> str:
    """``hosts.xml``: the hosts of a layout by the aliases that ``services.xml`` names."""
    hosts = "\n".join(_host(name, aliases) for name, aliases in layout.aliases())
    return template("hosts.xml").substitute(hosts=hosts)


def _host(name: str, aliases: list[str]) -> str:
    lines = "\n".join(f"    <alias>{escape(alias)}</alias>" for alias in aliases)
    return f"  <host name={quoteattr(name)}>\n{lines}\n  </host>"
