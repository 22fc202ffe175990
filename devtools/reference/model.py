"""Of ``docs/measured.md``: how well the model does: what is shipped, browsing, and each part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from devtools.reference.tables import head, line, runs_of

_LEADING = ("Recall@10", "MRR", "R-prec@10", "Rele@10_p")
#: Slices of the shipped bundle's table, each with the measures that say something of it.
_SHIPPED = ("text", "photo", "text+photo", "browse", "unseen queries", "broad", "narrow")
#: Of each part's worth: over all requests that ask for something, and typed ones alone.
_WORTH = ("all", "text")


def shipped() -> str:
    """Systems by slice, then what a history changes."""
    runs = runs_of("shipped")
    systems = {runs["bundle"]: "the towers alone"}
    lines = ["", f"{runs['bundle']}, {runs['split']} split.", ""]
    lines += head(["queries", "system", "n", *_LEADING, "Recall@100"])
    for name in _SHIPPED:
        rows = [row for row in runs["figures"] if row["slice"] == name]
        for row in rows:
            figures = (
                _figure(row[measure], intervals=row["system"] in systems)
                for measure in (*_LEADING, "Recall@100")
            )
            told = systems.get(row["system"], row["system"])
            lines.append(line([name, told, f"{row['requests']:,}", *figures]))
    lines += ["", *head(["with the history less without it", *_LEADING])]
    for name in ("all", "taste", *_SHIPPED, "cold users"):
        gaps = {
            gap["measure"]: gap
            for gap in runs["gaps"]
            if (gap["slice"], gap["system"], gap["against"]) == (name, runs["bundle"], "without history")
        }
        if gaps:
            lines.append(line([name, *(gain(gaps.get(measure)) for measure in _LEADING)]))
    return "\n".join([*lines, "", ""])


def browsing() -> str:
    """The whole service beside popularity, on the demo's log and on a longer one."""
    lines = ["", *head(["log", "browses", "measure", "service", "popularity", "gain"])]
    for name, log in (("worth-demo-log", "the demo's"), ("worth-long-log", "eight times as long")):
        runs = runs_of(name)
        rows = {row["system"]: row for row in runs["figures"] if row["slice"] == "browse"}
        gaps = {gap["measure"]: gap for gap in runs["gaps"] if gap["against"] == "popularity"}
        for measure in ("Recall@10", "Recall@100"):
            figures = [f"{rows[system][measure]['value']:.3f}" for system in ("service", "popularity")]
            counted = f"{rows['service']['requests']:,}"
            lines.append(line([log, counted, measure, *figures, gain(gaps[measure])]))
    return "\n".join([*lines, "", ""])


def parts() -> str:
    """What the full model gains over each cell, with the intervals, on all and on typed queries."""
    runs = runs_of("parts")
    full, *others = runs["cells"]
    seeds = len(runs["seeds"])
    lines = [
        "",
        f"{seeds} seeds, {runs['items']:,} items, preset `{runs['preset']}`, {runs['split']} split.",
        "",
    ]
    lines += head(["the full model", *_LEADING, "AUC low"])
    for name in _WORTH:
        at = [full["values"].get(f"{name}|{measure}") for measure in (*_LEADING, "AUC low")]
        lines.append(line([name, *(_figure(value, intervals=True) for value in at)]))
    for name in _WORTH:
        lines += ["", *head([f"full less it, {name}", *_LEADING, "AUC low"])]
        lines += [line([cell["cell"], *_gains(cell, name)]) for cell in others]
    return "\n".join([*lines, "", ""])


def _gains(cell: Mapping[str, Any], name: str) -> Iterator[str]:
    for measure in (*_LEADING, "AUC low"):
        yield gain(cell["full_less_it"].get(f"{name}|{measure}"))


def _figure(figure: Mapping[str, Any] | None, *, intervals: bool) -> str:
    if figure is None or figure["value"] is None:
        return ""
    bounds = f" ({figure['low']:.3f} to {figure['high']:.3f})" if intervals else ""
    return f"{figure['value']:.3f}{bounds}"


def gain(found: Mapping[str, Any] | None) -> str:
    """A difference with its interval; bold where that lies above 0, in italics where it lies below."""
    if found is None or found["value"] is None:
        return ""
    bounds = f"{found['value']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f})"
    if found["low"] > 0:
        return f"**{bounds}**"
    return f"*{bounds}*" if found["high"] < 0 else bounds
