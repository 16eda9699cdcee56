"""The form of every table that the benchmarks print."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table


def plain_table(title: str, words: Iterable[str], figures: Iterable[str], caption: str | None = None) -> Table:
    """A table without lines: columns of words first, then columns of figures, which stand at the right."""
    table = Table(*words, title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in figures:
        table.add_column(name, justify="right")
    if caption is not None:
        table.caption, table.caption_justify = caption, "left"
    return table
