"""Tables and lines for a person. Texts are printed as they are, without markup."""

from __future__ import annotations

import sys
import textwrap
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobstatus_consumer.words import escaped

COLUMNS: Final = 80
WIDE: Final = 160
"""Width in columns of output that does not go to a terminal."""


class PlainConsole(Console):
    """A console without markup. Unprintable characters are shown escaped, and no text is cut."""

    def print(self, *objects: Any, **given: Any) -> None:
        """Print as rich does. In a narrow terminal long cells of a table are wrapped."""
        for item in objects:
            if isinstance(item, Table):
                for column in item.columns:
                    column.overflow = "fold"
        super().print(*objects, **given)

    def render_str(self, text: str, **given: Any) -> Text:
        """Escape a text. rich calls this for every text, also in tables."""
        return super().render_str(visible(text), **given)


def narrow(*columns: str, title: str) -> Table:
    """A table without a frame, so that many columns fit into 80 characters."""
    return Table(
        *columns,
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )


def print_fitted(console: Console, text: str) -> None:
    """Print a long line in lines of at most 80 columns, broken between words."""
    wrapped = textwrap.wrap(
        visible(text), COLUMNS, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    for line in wrapped:
        console.print(line)


def visible(text: str) -> str:
    """The text with unprintable characters escaped: a job id may hold line breaks or terminal control codes."""
    return escaped(text)


def plain_console(
    *, stderr: bool = False, wide: bool = False, soft_wrap: bool = False, width: int | None = None
) -> Console:
    """A console for texts that may look like rich's markup, such as job ids and messages."""
    width = WIDE if wide and not sys.stdout.isatty() else width
    return PlainConsole(stderr=stderr, highlight=False, markup=False, emoji=False, width=width, soft_wrap=soft_wrap)
