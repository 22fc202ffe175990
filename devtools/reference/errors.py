"""Of ``docs/reference/errors.md``: the kinds of problems, and the words of ``degraded``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from service.degraded import degraded_words
from service.http import problems

_SERVICE = Path(problems.__file__).parents[1]
#: What each kind is a sign of, and what the caller does about it.
_TOLD = {
    "malformed-json": ("The body cannot be parsed; `detail` says where.", "Mend the body."),
    "malformed-request": ("The bytes are not a request of HTTP/1.1.", "Mend the client."),
    "head-too-large": ("The head is over 64 kB, or has over 100 headers.", "Send less in headers."),
    "wrong-host": (
        "`Host` is none of the service's names, as with DNS rebinding.",
        "Ask by its name, or set `server.hosts`.",
    ),
    "invalid-request": (
        "A field cannot be used; `errors` names up to 20 of them, each with `field` and `reason`.",
        "Mend the fields. The same request will be refused again.",
    ),
    "unsupported-media-type": (
        "The body says that it is something else than JSON, or is compressed.",
        "Send `Content-Type: application/json`, without `Content-Encoding`.",
    ),
    "too-large": ("The body has too many bytes, fields or values.", "Send less; `limits` has the bounds."),
    "not-found": (
        "Nothing answers to this path, or there is no such arm.",
        "Look at the path; `/v1` or none.",
    ),
    "method-not-allowed": ("The path is there, with another method.", "Look at `Allow`."),
    "unknown-item": ("The index has no item of this id.", "It may have been removed."),
    "unavailable": (
        "No route could answer, because index or cache is away.",
        "Try again after `Retry-After`.",
    ),
    "overloaded": (
        "Too much waits or is worked on; the request was refused so that others are in time.",
        "Try again after `Retry-After`, once.",
    ),
    "not-ready": ("Bundle and index are being loaded, or the service is leaving.", "Ask another instance."),
    "model-failed": ("A graph raised, or gave no usable number.", "Ask another instance; see the runbook."),
    "deadline": (
        "The time ran out before any route answered; `detail` says in which stage.",
        "A longer `timeout_ms`.",
    ),
    "request-timeout": ("The head or the body did not arrive in time.", "Send it again, at once."),
    "unauthorized": ("There is no key, or a wrong or expired one.", "Send `Authorization: Bearer KEY`."),
    "forbidden": ("The key lacks the scope.", "A key with the scope; see `mrse keys new`."),
    "rate-limited": (
        "The key has used up its rate, or too many wrong keys came from this address.",
        "Wait for `Retry-After`.",
    ),
    "not-writable": (
        "The index, the rules or the experiments are not changed through this service.",
        "`detail` says what to set.",
    ),
    "not-taken": ("The service is not set up for this, such as for events.", "`detail` says what to set."),
    "insufficient-storage": (
        "The disk of the index is full; nothing of the change was done.",
        "Make room, send it again.",
    ),
    "internal": ("A bug. The log has it under the request id.", "Report it with the request id."),
}


def kinds() -> str:
    """A line for each kind of problem."""
    statuses = statuses_of_kinds()
    lines = []
    for kind, title in problems._TITLES.items():
        means, remedy = _TOLD[kind]
        codes = ", ".join(map(str, sorted(statuses[kind])))
        lines.append(f"| `{kind}` | {codes} | {title}. {means} | {remedy} |")
    return "| kind | status | means | what to do |\n|---|---|---|---|\n" + "\n".join(lines)


def words() -> str:
    """A line for each word of ``degraded``."""
    lines = [f"| `{word}` | {sentence} |" for word, sentence in degraded_words().items()]
    return "| word | means |\n|---|---|\n" + "\n".join(lines)


def statuses_of_kinds() -> dict[str, set[int]]:
    """The statuses that each kind is answered with, as the service's code has them."""
    found: dict[str, set[int]] = {kind: set() for kind in problems._TITLES}
    for status, kind in [*problems._MEANINGS.values(), *problems._BY_STATUS.items(), *_written()]:
        found.setdefault(kind, set()).add(status)
    return found


def _written() -> Iterator[tuple[int, str]]:
    """Status and kind wherever the code makes a problem of constants."""
    for path in sorted(_SERVICE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            values = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
            if node.func.id in ("ProblemError", "Refusal") and len(values) == 2:
                status, kind = values
                if isinstance(status, int) and isinstance(kind, str):
                    yield status, kind
