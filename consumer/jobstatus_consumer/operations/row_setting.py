"""Sets rows in bulk, where the database may refuse one of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from jobstatus_consumer.errors import BadRowError
from jobstatus_consumer.store import RowRepair


class SetCounts(Protocol):
    """The counts of a command that sets rows."""

    set_rows: int
    moved_on: int
    refused: dict[str, str]
    """by job: why the database refuses its row, without a value of it"""


def refusal(name: str, sqlstate: str | None, where: str) -> str:
    """Say why the database refuses a row: the error's name, its SQLSTATE, and the constraint or column."""
    return f"{name} ({sqlstate or 'no SQLSTATE'}{', ' * bool(where)}{where})"


def set_rows(
    send: Callable[[Sequence[RowRepair]], Collection[str]], repairs: Sequence[RowRepair], counts: SetCounts
) -> None:
    """Set these rows in one statement; if the database refuses one, in halves, until that one stands alone. Blocks."""
    try:
        count = len(send(repairs))
    except BadRowError as error:
        middle = len(repairs) // 2
        if middle == 0:
            counts.refused[repairs[0].job_id] = refusal(error.error_class, error.sqlstate, error.where)
            return
        set_rows(send, repairs[:middle], counts)
        set_rows(send, repairs[middle:], counts)
        return
    counts.set_rows += count
    counts.moved_on += len(repairs) - count
