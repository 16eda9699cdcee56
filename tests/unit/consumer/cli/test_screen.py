"""What a person sees: nothing that moves the cursor, and nothing left away where there is little room."""

from __future__ import annotations

import io

import pytest
from jobstatus_consumer.cli.show.screen import PlainConsole, visible
from rich.table import Table


@pytest.mark.parametrize(
    ("text", "shown"),
    [("job-1 ü 😀", "job-1 ü 😀"), ("\x1b[2J", "\\x1b[2J"), ("two\nlines", "two\\nlines"), ("\x9b", "\\x9b")],
)
def test_what_is_no_printable_character_is_named(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_table_in_a_narrow_terminal_leaves_nothing_away() -> None:
    out = io.StringIO()
    table = Table("position", "name", title="\x1b[2J")
    table.add_row("1234567890123456789", "\x1b]0;[red]evil")
    PlainConsole(file=out, width=24, markup=False, highlight=False).print(table)
    told = out.getvalue()
    assert "\x1b" not in told
    rows = [line.split("│")[1:3] for line in told.splitlines() if line.startswith("│")]
    assert ["".join(cell.strip() for cell in column) for column in zip(*rows, strict=True)] == [
        "1234567890123456789",
        "\\x1b]0;[red]evil",
    ]
