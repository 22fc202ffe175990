"""What `benchmarks.recall` tells of its runs: claims, a table, a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.report import Claim

#: Ours, and what the others are compared with.
OURS = {"searched": "every query searched", "remembered": "searches remembered"}


def claims_of(runs: dict[str, Any]) -> list[Claim]:
    """What is claimed, as far as it was measured."""
    claims = []
    for mix in runs["sweeps"]:
        capacity = runs["sweeps"][mix]["capacity_per_s"]
        for name in [name for name in OURS if name in capacity]:
            for other, goal, called in (("bare", 0.8, "bare parts"), ("typical", 5, "typical assembly")):
                if capacity.get(other):
                    ratio = capacity[name] / capacity[other]
                    about = f"{mix}, {OURS[name]}: capacity against the {called}"
                    claims.append(Claim.at_least(about, ratio, goal, "x"))
    for name, called in OURS.items():
        p50 = runs["alone"][name]["1"]["p50_ms"]
        claims.append(Claim.at_most(f"hit p50, one at a time, {called}", p50, 1.0, "ms"))
    return claims


def table(runs: dict[str, Any]) -> None:
    """Capacity and latency, a line for each server."""
    print(
        f"{'capacity/s':<11}"
        + "".join(f"{mix:>10}" for mix in runs["sweeps"])
        + f"{'hit p50 ms':>12}{'p99':>8}{'CPU ms':>8}"
    )
    for name in runs["alone"]:
        held = [runs["sweeps"][mix]["capacity_per_s"].get(name) for mix in runs["sweeps"]]
        cells = "".join(f"{'-' if each is None else round(each):>10}" for each in held)
        one = runs["alone"][name]["1"]
        print(f"{name:<11}{cells}{one['p50_ms']:>12.2f}{one['p99_ms']:>8.2f}{one['cpu_ms']:>8.2f}")


def plot(runs: dict[str, Any], target: Path) -> None:
    """Latency and goodput against the rate, a column for each mix."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(
        2, len(runs["sweeps"]), figsize=(13, 7), layout="constrained", sharex=True, squeeze=False
    )
    for column, mix in enumerate(runs["sweeps"]):
        for number, (name, steps) in enumerate(runs["sweeps"][mix]["steps"].items()):
            x = [step["rate"] for step in steps]
            for key, style in (("p50_ms", ":"), ("p99_ms", "-"), ("p999_ms", "--")):
                label = f"{name} {key.removesuffix('_ms')}"
                grid[0][column].plot(x, [s[key] for s in steps], style, color=f"C{number}", label=label)
            grid[1][column].plot(x, [s["goodput_per_s"] for s in steps], "o-", color=f"C{number}", label=name)
        grid[0][column].axhline(runs["limit_ms"], color="grey", linewidth=0.8)
        grid[0][column].set(title=mix, xscale="log", yscale="log", ylim=(0.3, 5000))
        grid[1][column].set(xlabel="arrivals/s", xscale="log", yscale="log")
    grid[0][0].set_ylabel("ms from arrival")
    grid[1][0].set_ylabel(f"answers/s within {runs['limit_ms']:g} ms")
    grid[0][-1].legend(fontsize=7)
    grid[1][-1].legend(fontsize=7)
    figure.suptitle(f"POST /recall, k={runs['k']}, {runs['rows']:,} items")
    figure.savefig(target, dpi=120)
