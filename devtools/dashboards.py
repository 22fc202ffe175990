"""Writes the Grafana dashboards of `docker/grafana/dashboards`: rows of `dashboard_panels`.

::

    python -m devtools.dashboards docker/grafana/dashboards
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from devtools.dashboard_panels import EXPERIMENTS, SERVICE, VESPA, Panel

_WIDE, _HIGH, _ACROSS = 8, 8, 3
_SOURCE = {"type": "prometheus", "uid": "prometheus"}
DASHBOARDS = {
    "recall": ("MRSE Recall", SERVICE),
    "experiments": ("MRSE Recall: experiments", EXPERIMENTS),
    "vespa": ("MRSE Recall: Vespa", VESPA),
}


def dashboard(name: str) -> dict[str, Any]:
    """A dashboard as Grafana reads it."""
    title, panels = DASHBOARDS[name]
    return {
        "uid": f"mrse-{name}",
        "title": title,
        "schemaVersion": 39,
        "version": 1,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "tags": ["mrse"],
        "links": [{"type": "dashboards", "tags": ["mrse"], "title": "MRSE", "asDropdown": False}],
        "panels": [_panel(place, panel) for place, panel in enumerate(panels)],
    }


def _panel(place: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(place, _ACROSS)
    return {
        "id": place + 1,
        "title": panel.title,
        "description": panel.told,
        "type": "table" if panel.table else "timeseries",
        "datasource": _SOURCE,
        "gridPos": {"h": _HIGH, "w": _WIDE, "x": column * _WIDE, "y": row * _HIGH},
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "custom": {}
                if panel.table
                else {
                    "stacking": {"mode": "normal" if panel.stacked else "none"},
                    "fillOpacity": 20 if panel.stacked else 0,
                },
            },
            "overrides": [],
        },
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "expr": query,
                "legendFormat": named,
                **({"format": "table", "instant": True} if panel.table else {}),
            }
            for number, (query, named) in enumerate(panel.queries)
        ],
    }


def text(name: str) -> str:
    """A dashboard's file."""
    return json.dumps(dashboard(name), indent=1) + "\n"


if __name__ == "__main__":
    for each in DASHBOARDS:
        (Path(sys.argv[1]) / f"{each}.json").write_text(text(each), encoding="utf-8")
