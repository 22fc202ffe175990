"""``mrse recall``: ask a running service and print a table."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from cli.console import Json, err, fail, out, print_json
from cli.options import or_file
from common.errors import NOT_IN_ORDER, USAGE
from common.files import read_bounded

#: Bytes of a picture that are read: far more than a service takes.
_PICTURE_BYTES = 64 * 1024 * 1024


def recall(
    query: Annotated[str, typer.Argument(help="What the user typed; may be empty with a picture.")] = "",
    picture: Annotated[
        Path | None, typer.Option(help="A JPEG or PNG to search with.", exists=True, dir_okay=False)
    ] = None,
    user: Annotated[str | None, typer.Option(help="User id.")] = None,
    click: Annotated[list[str] | None, typer.Option(help="An item the user clicked; repeatable.")] = None,
    filters: Annotated[str | None, typer.Option(help='JSON, as in \'{"price": {"lte": 80}}\'.')] = None,
    field: Annotated[
        list[str] | None, typer.Option(help="An attribute to show beside the title; repeatable.")
    ] = None,
    k: Annotated[int, typer.Option(min=1, help="Items to recall.")] = 10,
    experiment: Annotated[
        str | None, typer.Option(help="X-Experiment header, as in towers=treatment.")
    ] = None,
    timeout_ms: Annotated[int, typer.Option(min=1, help="Deadline of the recall.")] = 1000,
    url: Annotated[str, typer.Option(help="The service.", envvar="MRSE_URL")] = "http://127.0.0.1:8080",
    key: Annotated[
        str | None,
        typer.Option(help="Key, where one is needed.", envvar="MRSE_KEY", callback=or_file("MRSE_KEY")),
    ] = None,
    json: Json = False,
) -> None:
    """Ask a running service and print what it recalls.

    Example: `mrse recall "red running shoes" --k 20 --filters '{"in_stock": true}'`
    """
    import httpx

    body: dict[str, Any] = {"query": query, "k": k, "timeout_ms": timeout_ms}
    if picture:
        body["picture"] = base64.b64encode(read_bounded(picture, _PICTURE_BYTES)).decode()
    if user:
        body["user_id"] = user
    if click:
        body["history"] = [{"item_id": item, "action": "click"} for item in click]
    if filters:
        body["filters"] = _parse(filters)
    headers = {"X-Experiment": experiment} if experiment else {}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    wanted = list(field or []) if json else list(dict.fromkeys(["title", *(field or [])]))
    if wanted:
        body["fields"] = wanted

    def ask() -> tuple[httpx.Response, Any]:
        answer = httpx.post(f"{url}/recall", json=body, headers=headers, timeout=timeout_ms / 1000 + 5)
        try:
            return answer, answer.json()
        except ValueError:
            return answer, None

    try:
        answer, content = ask()
        if wanted and "title" not in (field or []) and _only_fields(content):
            body["fields"] = field or []  # an index or a service that knows no titles
            answer, content = ask()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        fail(
            f"no answer from {url}: {str(error).rstrip('.')}. Is the service running? `make run` or "
            "`mrse serve` starts it; --url (or MRSE_URL) says where it is, as http://127.0.0.1:8080."
        )
    if answer.status_code != 200 or not isinstance(content, dict):
        fail(_problem(content, url), USAGE if answer.status_code == 422 else NOT_IN_ORDER)
    print_json(content) if json else _print(content)
    _, _, ignored = answer.headers.get("X-Experiment-Applied", "").partition("; ignored=")
    if ignored:
        names = ignored.strip('"').replace(",", ", ")
        err.print(f"--experiment: the service knows no {names}, or does not let you choose it")


def _parse(filters: str) -> Any:
    import json

    try:
        return json.loads(filters)
    except json.JSONDecodeError as error:
        fail(f"--filters is not JSON: {error}", USAGE)


def _only_fields(content: Any) -> bool:
    """Whether a request was refused for its ``fields`` alone."""
    errors = content.get("errors") or [] if isinstance(content, dict) else []
    return bool(errors) and all(str(each.get("field")).startswith("fields") for each in errors)


def _problem(content: Any, url: str) -> str:
    if not isinstance(content, dict):
        return f"what answers at {url} is no MRSE Recall; is --url (or MRSE_URL) right?"
    errors = content.get("errors") or []
    details = "; ".join(f"{e.get('field')}: {e.get('reason')}" for e in errors)
    return f"{content.get('status')} {content.get('title')}: {details or content.get('detail')}"


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _print(content: dict[str, Any]) -> None:
    items = content["items"]
    names = list(dict.fromkeys(name for item in items for name in item.get("fields") or {}))
    narrow = Column("item", overflow="fold")
    table = Table(
        "#", narrow, "score", *(Column(n, overflow="fold") for n in names), "sources", box=SIMPLE_HEAD
    )
    for rank, item in enumerate(items, start=1):
        sources = ", ".join(
            f"{s['route']} {s['rank']}" + (f" from {s['trigger']}" if s.get("trigger") else "")
            for s in item["sources"]
        )
        told = [_plain((item.get("fields") or {}).get(name, "")) for name in names]
        table.add_row(str(rank), item["item_id"], f"{item['score']:.3f}", *told, sources)
    out.print(table)
    routes = ", ".join(f"{name} {r['status']} ({r['returned']})" for name, r in content["routes"].items())
    variant = ", ".join(f"{name}={arm}" for name, arm in content["variant"].items())
    bundle = f"bundle {content['model_version']}; {variant}"
    if not items:
        out.print("no items: are the filters too narrow, or is the index empty?")
    out.print(f"{routes}; {content['took_ms']:.1f} ms; {bundle}")
    if content["degraded"]:
        out.print(f"degraded: {', '.join(content['degraded'])}")
