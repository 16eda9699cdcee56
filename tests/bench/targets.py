"""What the project wants to reach, beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table

from .tables import plain_table


class Target(NamedTuple):
    what: str
    found: str
    wanted: str
    reached: bool


def show_targets(targets: Sequence[Target]) -> Table:
    table = plain_table("targets", ["target"], ["found", "wanted"])
    table.add_column("")
    for target in targets:
        table.add_row(target.what, target.found, target.wanted, "reached" if target.reached else "MISSED")
    return table
