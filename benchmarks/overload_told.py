"""What `benchmarks.overload` claims of its runs."""

from __future__ import annotations

from typing import Any

from benchmarks.report import Claim

#: The name of the runs in which one client meets others.
FAIR = "fair"
#: Seconds within which the service is to be as quick as before.
RECOVERED_S = 2.0


def claims_of(runs: dict[str, Any]) -> list[Claim]:
    """What is to hold at three times the peak."""
    claims = []
    for mix, run in runs.items():
        if mix == FAIR:
            claims += _fair_claims(run["alone"], run["beside"])
            continue
        first, last = run["steps"][0], run["steps"][2]
        # As it was just before and just after, for the machine's speed may have changed since the search for
        # it. Not the step at twice the rate, whose goodput may come to more: under load the service leaves
        # parts of its answers out, and they cost less.
        peak = max(last["peak_before_per_s"], last["peak_after_per_s"])
        new = {number: run["steps"][number]["kinds"].get("new", {}).get("good_per_s") for number in (0, 2)}
        claims.append(
            Claim.at_least(f"{mix}: goodput at 3x to the peak's", last["goodput_per_s"] / peak, 0.9)
        )
        if new[0] and new[2] is not None:  # else the answers at 3x may be the easy ones
            claims.append(Claim.at_least(f"{mix}: of new queries, 3x to 1x", new[2] / new[0], 0.9))
        claims += [
            Claim.at_most(f"{mix}: /livez p99", last["livez_p99_ms"], 100, "ms"),
            Claim.at_most(f"{mix}: /livez p99 on the main port", last["main_livez_p99_ms"], 100, "ms"),
            Claim.at_most(f"{mix}: recovered within", last["recovery_s"], RECOVERED_S, "s"),
            Claim.at_most(f"{mix}: memory, 3x to 1x", last["memory_mb"] / first["memory_mb"], 1.1),
        ]
    return claims


def _fair_claims(alone: dict[str, Any], beside: dict[str, Any]) -> list[Claim]:
    return [
        Claim.at_most("fair: p50 beside batches to alone", beside["p50_ms"] / alone["p50_ms"], 3),
        Claim.at_most("fair: degraded", beside["degraded"] / max(beside["answered"], 1), 0.1),
        Claim.at_least("fair: answered", beside["answered"] / max(beside["sent"], 1), 0.99),
    ]
