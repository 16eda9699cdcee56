"""Tables and lines for a person, with every text as it is."""

from __future__ import annotations

import sys
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE: Final = 160
"""Columns where there is no terminal to ask: a pipe has room."""


class PlainConsole(Console):
    """Gives no text a meaning: what is no printable character is shown by its name, and nothing is left away."""

    def print(self, *objects: Any, **given: Any) -> None:
        """As rich prints it; in a narrow terminal a table's cells take several lines."""
        for item in objects:
            if isinstance(item, Table):
                for column in item.columns:
                    column.overflow = "fold"
        super().print(*objects, **given)

    def render_str(self, text: str, **given: Any) -> Text:
        """Every text goes through here, those in tables, too."""
        return super().render_str(visible(text), **given)


def narrow(*columns: str, title: str) -> Table:
    """A table without a frame, for many columns in a terminal of 80."""
    return Table(
        *columns,
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )


def visible(text: str) -> str:
    """A job's name or a status may hold what moves the cursor, or begins a new line."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def plain_console(*, stderr: bool = False, wide: bool = False, soft_wrap: bool = False) -> Console:
    """A console in whose lines and tables a job's name or a message may look like rich's markup."""
    width = WIDE if wide and not sys.stdout.isatty() else None
    return PlainConsole(stderr=stderr, highlight=False, markup=False, emoji=False, width=width, soft_wrap=soft_wrap)
