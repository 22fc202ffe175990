"""The report of an experiment as a page that stands alone."""

from __future__ import annotations

from models.evaluation import html
from models.evaluation.statistics import Interval
from models.experiment.exposures import OVERLAP_AT
from models.experiment.interleaving import LEAST_PREFERRING, Interleaved, Preference
from models.experiment.report import SPLIT_P, Against, Report
from models.experiment.statistics import Comparison

_SAYS = {
    "better": "better than the control",
    "worse": "worse than the control",
    "open": "not told apart from the control yet",
    "unknown": "too few units to compare",
}


def write_page(report: Report) -> str:
    """The page."""
    parts = [_verdict(report), _split(report)]
    for each in report.against:
        parts += [_outcomes(report, each), _days(report, each), _guardrails(each)]
    if report.interleaved is not None:
        parts.append(_interleaved(report.interleaved))
    parts.append(_latency(report))
    rows = [(html.text(why), f"{many:,}") for why, many in report.skipped.items()]
    parts.append(html.section("Left out", html.table(("what", "rows"), rows)) if rows else "")
    return html.page(report.title, parts)


def says(report: Report, each: Against) -> str:
    """The verdict on an arm, in words."""
    if report.mismatch:
        return f"{each.arm}: no verdict, the units are not split as they should be"
    told = f"{each.arm}: {report.metric} {_SAYS[each.verdict]}"
    if each.tripped:
        told += f"; worse in {', '.join(each.tripped)}"
    return told


def prefers(each: Preference) -> str:
    """What is known of two teams, in words."""
    if each.preferred is not None:
        other = each.second if each.preferred == each.first else each.first
        return f"{each.preferred} is preferred to {other}"
    if each.p != each.p:
        return f"fewer than {LEAST_PREFERRING} units prefer either"
    return "not told apart yet"


def _verdict(report: Report) -> str:
    lines = [html.note(says(report, each)) for each in report.against]
    drafted = () if report.interleaved is None else report.interleaved.preferences
    lines += [
        html.note(f"{each.first} or {each.second}, by {each.kind}: {prefers(each)}") for each in drafted
    ]
    return html.section("Verdict", *lines, *[html.note(text) for text in report.notes])


def _split(report: Report) -> str:
    whole = sum(report.units.values())
    rows = [
        (
            html.text(arm),
            f"{units:,}",
            f"{units / whole:.4f}",
            f"{report.shares[arm]:.4f}",
            f"{report.answers[arm]:,}",
        )
        for arm, units in report.units.items()
    ]
    table = html.table(("arm", "units", "share", "should be", "answers"), rows)
    if not report.against:
        return html.section("Units", table)
    found = "a mismatch: trust no figure below" if report.mismatch else "as it should be"
    test = (
        f"Split of {report.split_units:,} units: {found} (chi-square p = {report.split_p:.3g}, at {SPLIT_P})."
    )
    return html.section("Units", table, html.note(test))


def _outcomes(report: Report, each: Against) -> str:
    rows = [
        (
            html.text(name),
            html.cell(c.control),
            html.cell(c.treatment),
            _relative(c.lift),
            _relative(c.always),
            f"{c.p:.3g}",
            f"{c.detectable:.2%}",
            f"{c.explained:.0%}",
        )
        for name, c in each.metrics.items()
    ]
    head = (
        "", report.control, each.arm, "lift", "lift, at every look", "p", "detectable", "variance out",
    )  # fmt: skip
    told = (
        f"Intervals are of 95%. Power to find a lift of {report.effect:.1%} in {report.metric}: "
        f"{each.metrics[report.metric].power:.0%}. Detectable: found with a chance of 0.8. Variance out: "
        "what CUPED explains by what the same units did before."
    )
    drawn = html.intervals([(name, c.lift) for name, c in each.metrics.items()], zero=True)
    return html.section(
        f"{each.arm} against {report.control}", html.table(head, rows), html.note(told), drawn
    )


def _days(report: Report, each: Against) -> str:
    lines: dict[str, list[tuple[float, Interval]]] = {
        "at every look": [(round(look.days, 3), look.always) for look in each.looks],
        "at one look": [(round(look.days, 3), look.lift) for look in each.looks],
    }
    told = "Stop when the interval at every look leaves 0. The other holds at one look that was planned."
    drawn = html.curves(lines, "days", f"lift of {report.metric}")
    return html.section(f"{each.arm}, day by day", html.note(told), drawn)


def _guardrails(each: Against) -> str:
    rows = [
        (
            html.text(name),
            html.cell(c.control),
            html.cell(c.treatment),
            _relative(c.lift),
            _state(each, name, c),
        )
        for name, c in each.guardrails.items()
    ]
    overlap = f"Both arms answered {each.queries:,} queries"
    overlap += (
        "." if not each.queries else f"; of the first {OVERLAP_AT} items they share {each.overlap:.1%}."
    )
    table = html.table(("", "control", each.arm, "change", "state"), rows)
    return html.section(f"{each.arm}: guardrails", table, html.note(overlap))


def _interleaved(found: Interleaved) -> str:
    rows = [
        (
            html.text(each.kind),
            html.text(f"{each.first} or {each.second}"),
            f"{each.credits[0]:,} / {each.credits[1]:,}",
            " / ".join(f"{units:,}" for units in each.units),
            html.cell(each.share),
            html.cell(each.always),
            "–" if each.p != each.p else f"{each.p:.3g}",
            html.text(prefers(each)),
        )
        for each in found.preferences
    ]
    head = ("by", "teams", "outcomes", "units: first / second / even", "share that prefers the first",
            "the same, at every look", "p", "")  # fmt: skip
    told = (
        f"{found.answers:,} answers to {found.units:,} units had items of several teams. Each outcome is "
        "credited to the team that picked its item, and each unit counts once, for the team with more of "
        "its outcomes; p is of a sign test. Stop when the share at every look leaves one half: that "
        "one and p hold for all pairs of teams at once. "
        f"{found.uncredited:,} outcomes name no item that such an answer showed."
    )
    drawn = [
        (
            f"{each.kind}: {each.first} or {each.second}",
            Interval(each.share.value - 0.5, each.share.low - 0.5, each.share.high - 0.5),
        )
        for each in found.preferences
    ]
    return html.section(
        "Interleaving",
        html.table(head, rows),
        html.note(told),
        html.note("Above one half, the first of the two is preferred:"),
        html.intervals(drawn, zero=True),
    )


def _state(each: Against, name: str, found: Comparison) -> str:
    if name in each.tripped:
        return "worse"
    return "may be worse" if name in each.open else "no harm" if found.lift.high == found.lift.high else "–"


def _latency(report: Report) -> str:
    names = list(next(iter(report.latency.values())))
    rows = [(html.text(arm), *(f"{its[n]:.2f}" for n in names)) for arm, its in report.latency.items()]
    return html.section("Latency, ms", html.table(("arm", *names), rows))


def _relative(lift: Interval) -> str:
    if lift.value != lift.value:
        return "–"
    return f'{lift.value:+.2%} <span class="range">{lift.low:+.2%} to {lift.high:+.2%}</span>'
