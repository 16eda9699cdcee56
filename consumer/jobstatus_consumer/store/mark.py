"""The mark on the tables: which version of jobstatus has shaped them, and which programs can use them.

`migrate` writes it as the comment on the progress table. Reading a comment needs no right.
A change of the tables' shape raises `LAYOUT`. It raises `SERVES` to the same number only if a program of an earlier
layout could not go on, so a new column that may be NULL leaves `SERVES` as it is.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Final, NamedTuple

from jobstatus_consumer.store.problem import Problem

LAYOUT: Final = 1
"""The number of the shape that this program makes."""
SERVES: Final = 1
"""The lowest layout whose programs can use tables of this shape."""
_MARK: Final = re.compile(r"jobstatus (\S{1,40}), layout (\d{1,6}), for programs of layout (\d{1,6}) or later")


class Mark(NamedTuple):
    """What the comment says."""

    version: str
    layout: int
    serves: int

    def __str__(self) -> str:
        return f"jobstatus {self.version}, layout {self.layout}, for programs of layout {self.serves} or later"

    @property
    def is_older(self) -> bool:
        """Whether a program of an earlier layout wrote it."""
        return self.layout < LAYOUT

    @property
    def problem(self) -> Problem | None:
        """That this program cannot use the tables; None if it can."""
        if self.serves <= LAYOUT:
            return None
        ours = own_mark()
        return Problem(
            f"the tables are of jobstatus {self.version} (layout {self.layout}), which serve programs of layout "
            f"{self.serves} or later; this is jobstatus {ours.version} (layout {ours.layout})",
            f"install jobstatus {self.version} or newer here",
        )

    @property
    def remark(self) -> Problem | None:
        """That the tables are of a later version, which this program can use all the same."""
        if self.layout <= LAYOUT or self.problem:
            return None
        return Problem(
            f"the tables are of jobstatus {self.version}, and this is {own_mark().version}",
            "this version goes on with them; it leaves the newer columns as they are",
        )


def own_mark() -> Mark:
    """The mark that this program writes."""
    return Mark(version("jobstatus"), LAYOUT, SERVES)


def mark_in(comment: str | None) -> Mark | None:
    """The mark in a comment; None for no comment, and for a text that is not ours."""
    found = _MARK.fullmatch(comment or "")
    return Mark(found[1], int(found[2]), int(found[3])) if found else None
