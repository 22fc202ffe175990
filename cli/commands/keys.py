"""``mrse keys new``: a key for a client of the service."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from cli.console import Json, err, fail, out, print_json
from common.errors import USAGE


def new(
    name: Annotated[str, typer.Argument(help="Whose it is: small letters, digits, - and _.")],
    scope: Annotated[
        list[str],
        typer.Option(help="What it is good for: read, write, events, metrics, experiments; once for each."),
    ],
    expires: Annotated[
        str | None, typer.Option(help="The day from which it is good no more, as in 2027-06-30.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Requests a second; each entry of a batch counts.")
    ] = None,
    burst: Annotated[float | None, typer.Option(help="Requests at once after a pause.")] = None,
    quota: Annotated[
        int | None, typer.Option(help="Requests a day, in UTC; each entry of a batch counts.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a key: prints it, this once, and the lines that stand for it in the file of keys.

    The file is named by `MRSE_ACCESS_KEYS` or `access.keys`; a running service reads it again by itself. The
    file holds no key, only what proves one.

    Example: `mrse keys new shop --scope read --rate 200 --expires 2027-06-30`
    """
    from service.access.keyfile import new_key

    try:
        day = None if expires is None else date.fromisoformat(expires)
    except ValueError as error:
        fail(f"--expires: {error}", USAGE)
    try:
        key, lines = new_key(name, scope, day, rate, burst, quota)
    except ValueError as error:
        fail(str(error), USAGE)
    if json:
        print_json({"key": key, "lines": lines})
        return
    err.print("The key, which is shown only now:")
    out.print(key, soft_wrap=True)
    err.print("\nFor the file of keys:")
    out.print(lines, soft_wrap=True)
