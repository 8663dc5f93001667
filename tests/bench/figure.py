"""A figure: one JSON line with the bar that it is held to."""

from __future__ import annotations

import json


def figure(bench: str, name: str, value: float, unit: str, bar: float | None = None) -> bool:
    """Print a figure; returns whether it is within its bar (at most `bar`)."""
    ok = bar is None or value <= bar
    print(json.dumps({"bench": bench, "name": name, "value": round(value, 3), "unit": unit, "bar": bar, "ok": ok}))
    return ok
