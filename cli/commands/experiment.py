"""``mrse experiment report``: what an experiment came to."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli.console import Json, check_writable, out, print_json, progress
from cli.options import or_file
from common.files import replace_text

if TYPE_CHECKING:
    from models.evaluation.statistics import Interval
    from models.experiment import Report
    from models.experiment.interleaving import Interleaved


def report(
    exposures: Annotated[
        Path, typer.Argument(help="The service's exposure log: a file or its folder.", exists=True)
    ],
    outcomes: Annotated[
        Path,
        typer.Argument(help="What users did: .jsonl, .csv or .parquet.", exists=True, dir_okay=False),
    ],
    experiment: Annotated[
        str | None, typer.Option(help="Which; needed where several have more than one arm.")
    ] = None,
    control: Annotated[
        str | None, typer.Option(help="The arm to compare with; `control`, or the largest.")
    ] = None,
    metric: Annotated[
        str, typer.Option(help="What decides: click rate, cart rate, order rate, revenue per unit.")
    ] = "click rate",
    effect: Annotated[
        float, typer.Option(min=0.0001, max=10, help="The relative lift that the experiment is to find.")
    ] = 0.03,
    window_days: Annotated[
        float, typer.Option(min=0, help="Days after a unit's last answer in which outcomes count.")
    ] = 7.0,
    key: Annotated[
        str,
        typer.Option(
            help="exposures.key of the service, to join by user.",
            envvar="MRSE_EXPOSURES_KEY",
            callback=lambda value: or_file("MRSE_EXPOSURES_KEY")(value) or "",
        ),
    ] = "",
    since: Annotated[
        datetime | None,
        typer.Option(
            help="Answers from then on, in UTC; for a log of several experiments of one name.",
            formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"],
        ),
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--report", help="Write an HTML page with plots.", dir_okay=False)
    ] = None,
    json: Json = False,
) -> None:
    """Compare the arms of an experiment: rates and revenue, latency, partial answers, overlap, the split.

    Outcomes have a time (`timestamp`), an action (`click`, `cart`, `order`, or UBI's names), the `query_id`
    of the answer or else `client_id` or `user`, and the `value` of an order. Those from before a unit was
    exposed make the intervals narrower. Where answers were interleaved (`merge = "interleave"`), teams are
    compared by what users chose of their items, if outcomes name the `item`. Ends with 1 where the split is
    not as it should be, or a guardrail is worse.

    Example: `mrse experiment report exposures/ outcomes.parquet --experiment merge --report merge.html`
    """
    from models.experiment import report as read
    from models.experiment.page import write_page

    if page is not None:
        check_writable(page)
    with progress() as tell:
        found = read(
            exposures, outcomes, experiment=experiment, control=control, metric=metric, effect=effect,
            window_days=window_days, key=key, progress=tell,
            since=0.0 if since is None else since.replace(tzinfo=UTC).timestamp(),
        )  # fmt: skip
    if page is not None:
        replace_text(page, write_page(found))
    if json:
        print_json(found.as_dict())
    else:
        _print(found)
        if page is not None:
            out.print(f"report: {page}")
    if not found.sound:
        raise typer.Exit(1)


def _print(found: Report) -> None:
    from models.experiment.page import says

    units = Table("arm", "units", "should be", "answers", "p50 ms", "p95 ms", title=found.title)
    for arm, count in found.units.items():
        latency = found.latency[arm]
        share = f"{count / sum(found.units.values()):.3f} / {found.shares[arm]:.3f}"
        units.add_row(
            arm,
            f"{count:,}",
            share,
            f"{found.answers[arm]:,}",
            f"{latency['p50']:.1f}",
            f"{latency['p95']:.1f}",
        )
    out.print(units)
    if found.mismatch:
        out.print(f"the units are not split as they should be (p = {found.split_p:.3g}): trust no figure")
    for each in found.against:
        table = Table(
            "",
            found.control,
            each.arm,
            "lift",
            "at every look",
            "p",
            title=f"{each.arm} against {found.control}",
        )
        for name, c in (*each.metrics.items(), *each.guardrails.items()):
            table.add_row(
                name,
                f"{c.control.value:.4f}",
                f"{c.treatment.value:.4f}",
                _lift(c.lift),
                _lift(c.always),
                f"{c.p:.3g}",
            )
        out.print(table)
        out.print(
            f"power to find {found.effect:.1%} in {found.metric}: {each.metrics[found.metric].power:.0%}; "
            f"{each.queries:,} queries answered by both, overlap {each.overlap:.2f}"
        )
        out.print(says(found, each))
    if found.interleaved is not None:
        _print_teams(found.interleaved)
    for line in (*found.notes, *(f"left out: {many:,} {why}" for why, many in found.skipped.items())):
        out.print(line, style="dim")


def _print_teams(found: Interleaved) -> None:
    from models.experiment.page import prefers

    table = Table(
        "by", "teams", "outcomes", "units: first, second, even", "prefer the first", "at every look", "p",
        title=f"interleaving: {found.answers:,} answers to {found.units:,} units",
    )  # fmt: skip
    for each in found.preferences:
        table.add_row(
            each.kind,
            f"{each.first} or {each.second}",
            f"{each.credits[0]:,} / {each.credits[1]:,}",
            " / ".join(f"{units:,}" for units in each.units),
            _share(each.share),
            _share(each.always),
            "–" if each.p != each.p else f"{each.p:.3g}",
        )
    out.print(table)
    for each in found.preferences:
        if any(each.credits):
            out.print(f"{each.first} or {each.second}, by {each.kind}: {prefers(each)}")
    if found.uncredited:
        out.print(f"{found.uncredited:,} outcomes name no item that such an answer showed", style="dim")


def _share(share: Interval) -> str:
    return "–" if share.value != share.value else f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"


def _lift(lift: Interval) -> str:
    return "–" if lift.value != lift.value else f"{lift.value:+.2%} ({lift.low:+.2%} to {lift.high:+.2%})"
