"""Tables and lines for a person, with every text as it is."""

from __future__ import annotations

import sys
from typing import Final

from rich.console import Console

WIDE: Final = 160
"""Columns where there is no terminal to ask: a pipe has room."""


def plain_console(*, stderr: bool = False, wide: bool = False, soft_wrap: bool = False) -> Console:
    """A console that gives no text a meaning: a job's name or a message may look like rich's markup."""
    width = WIDE if wide and not sys.stdout.isatty() else None
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width, soft_wrap=soft_wrap)
