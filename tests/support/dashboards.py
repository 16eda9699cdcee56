"""The queries of the Grafana dashboards, as Prometheus gets them: Grafana itself is not needed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from support.installing import ROOT

DASHBOARDS = sorted((ROOT / "infra" / "grafana" / "dashboards").glob("*.json"))


class Query(NamedTuple):
    """One query of one panel."""

    dashboard: str
    panel: str
    expression: str


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels with queries; a row has none."""
    return [item for item in dashboard["panels"] if item["type"] != "row"]


def queries(interval: str = "1m") -> list[Query]:
    """Every query, with everything chosen in each template variable, and `interval` as the interval of rates."""
    return [
        Query(path.name, panel["title"], replaced(target["expr"], interval))
        for path in DASHBOARDS
        for panel in panels(load(path))
        for target in panel["targets"]
    ]


def replaced(expression: str, interval: str) -> str:
    """The expression with its template variables replaced."""
    return re.sub(r"\$\w+", ".*", expression.replace("$__rate_interval", interval))


def names_in(expression: str) -> set[str]:
    """The names of metrics in an expression."""
    return set(re.findall(r"\b(?:jobstatus|process)[a-z0-9_:]*\b", re.sub(r'"[^"]*"', "", expression)))
