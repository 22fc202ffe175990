"""Whether two running services give the same answers: byte for byte, but for times.

    python -m benchmarks.same_answers --one URL --other URL --shop SHOP --json same.json

For a change that must not change answers: serve the old commit and the new one over the same shop, and
compare. Requests of all kinds (`benchmarks.same_requests`) go to both, one after the other in the same order,
so that their caches fill alike. With ``--versions`` versions of bundle and index may differ: a format that
changed has another checksum.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from artifacts.shop.shop import Shop
from benchmarks.report import Claim, arguments, finish
from benchmarks.same_requests import HttpRequest, make_requests

#: How long something took.
_TOOK = re.compile(rb'"took_ms":[0-9.e-]+')
_STAGES = re.compile(rb'"stages_ms":\{[^}]*\}')
_SECONDS = re.compile(rb":[0-9.e-]+")
_VERSIONS = re.compile(rb'"(model_version|index_version)":"[^"]*"')
_HEADERS = ("content-type", "vary", "x-experiment-applied", "retry-after", "x-request-id", "allow")
_SHOWN, _LONGEST = 20, 600
_Answer = tuple[int, dict[str, str | None], bytes]


def main() -> int:
    """Ask both services, and tell what differs by kind of request."""
    options = arguments(
        "Compare the answers of two services.",
        [
            ("--one", {"required": True, "help": "address of a service"}),
            ("--other", {"required": True, "help": "address of the other one"}),
            ("--shop", {"type": Path, "required": True, "help": "the shop that both serve"}),
            ("--requests", {"type": int, "default": 2000}),
            ("--seed", {"type": int, "default": 11}),
            ("--versions", {"action": "store_true", "help": "versions of bundle and index may differ"}),
        ],
    )
    count = 200 if options.quick else options.requests
    asked: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    differing: list[tuple[HttpRequest, _Answer, _Answer]] = []
    with httpx.Client(timeout=60) as client:
        for number, request in enumerate(make_requests(Shop.open(options.shop), count, options.seed)):
            one, other = (
                _ask(client, url, request, number, versions=options.versions)
                for url in (options.one, options.other)
            )
            asked[request.kind] += 1
            statuses[one[0]] += 1
            if one != other:
                differing.append((request, one, other))
    by_kind = Counter(request.kind for request, _, _ in differing)
    for kind, number in sorted(asked.items()):
        print(f"{kind:<24} {number:>6} asked {by_kind[kind]:>6} differ")
    examples = [_show(*each) for each in differing[:_SHOWN]]
    for example in examples:
        print(json.dumps(example, ensure_ascii=False), file=sys.stderr)
    runs: dict[str, Any] = {
        "asked": asked,
        "differ": by_kind,
        "statuses": {str(status): number for status, number in statuses.items()},
        "examples": examples,
    }
    claims = [
        Claim.at_least("requests", asked.total(), count),
        Claim.at_most("answers that differ", len(differing), 0),
    ]
    return finish(claims, runs, options.json, setting="quick" if options.quick else "full")


def _ask(client: httpx.Client, url: str, request: HttpRequest, number: int, *, versions: bool) -> _Answer:
    headers = {"X-Request-Id": f"same-{number}", "Content-Type": "application/json"} | request.headers
    answer = client.request(request.method, url + request.path, content=request.body, headers=headers)
    body = _TOOK.sub(b'"took_ms":0', answer.content)
    body = _STAGES.sub(lambda found: _SECONDS.sub(b":0", found.group()), body)
    if versions:
        body = _VERSIONS.sub(rb'"\1":"any"', body)
    return answer.status_code, {name: answer.headers.get(name) for name in _HEADERS}, body


def _show(request: HttpRequest, one: _Answer, other: _Answer) -> dict[str, Any]:
    """An example of a difference, from where the two bodies part."""
    parts = next((i for i, (a, b) in enumerate(zip(one[2], other[2], strict=False)) if a != b), 0)
    start = max(0, parts - _LONGEST // 3)

    def shorten(answer: _Answer) -> list[Any]:
        return [answer[0], answer[1], answer[2][start : start + _LONGEST].decode("utf-8", "replace")]

    body = (request.body or b"")[:_LONGEST].decode("utf-8", "replace")
    return {
        "request": [request.kind, request.method, request.path, body, request.headers],
        "one": shorten(one),
        "other": shorten(other),
    }


if __name__ == "__main__":
    sys.exit(main())
