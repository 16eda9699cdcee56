"""The law with a target: state, target and waiting jobs, event by event, beside an application that owns the target.

Written from docs/design.md alone, as model.py. The target's key is a number. A job whose id is no number is not ours,
and one whose id is a number in another spelling is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from jobstatus_consumer.records import Event
from law.model import Row, Table, applied, purge

REFUSED = "refused"
"""The status that a CHECK of the target does not allow."""
POISON = "poison"
"""The status that a CHECK of the state does not allow."""


@dataclass(frozen=True)
class TargetRow:
    """A row of the application's table; `frozen` and `other` are the application's own."""

    status: str = "new"
    error: str | None = None
    frozen: bool = False
    other: str = "theirs"
    writes: int = 0


@dataclass(frozen=True)
class Open:
    """What the application's open transaction has done to one row; `insert`, `delete`, `update` or `lock`."""

    kind: str
    key: int


@dataclass
class World:
    """Everything that the database holds, and the application's open transaction."""

    missing: str
    state: Table = field(default_factory=dict)
    target: dict[int, TargetRow] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    open: list[Open] = field(default_factory=list)
    touched: int = 0
    """rows of the target that were written since it was set to 0"""

    # -- what a batch, a settle and a repair do -----------------------------------------------------------------------

    def write(self, events: Iterable[Event]) -> list[Event]:
        """Apply the events, and return those that are refused."""
        return [item for item in events if not self._write(item)]

    def _write(self, item: Event) -> bool:
        before = self.state.get(item.job_id)
        after = applied(before, item)
        if after is before or after is None:
            return True
        if after.status == POISON or key_of(item.job_id) == 0:
            return False
        if not self._show(item.job_id, after):
            return False
        self.state[item.job_id] = after
        return True

    def _show(self, job: str, state: Row) -> bool:
        """Write the job's row, or let the job wait. False if the target refuses the row."""
        key = key_of(job)
        row = None if key is None else self.target.get(key)
        if key is None or (row is None and self.missing == "ignore"):
            self.waiting.discard(job)
            return True
        if key in self.locked or (row is None and self.missing == "wait"):
            self.waiting.add(job)
            return True
        if row is None or not row.frozen:
            if state.status == REFUSED:
                return False
            row = row or TargetRow(other="default")
            status = state.status or "none"
            self.target[key] = replace(row, status=status, error=state.error_message, writes=row.writes + 1)
            self.touched += 1
        self.waiting.discard(job)
        return True

    def settle(self) -> None:
        """Try what waits again; what the target refuses goes on waiting."""
        for job in sorted(self.waiting):
            self._show(job, self.state[job])

    def purge(self, job: str) -> None:
        """Purge the job's row of the state. It waits no longer, and its row in the target stays."""
        before = self.state
        self.state = purge(before, [job])
        if self.state != before:
            self.waiting.discard(job)

    # -- what the application does ------------------------------------------------------------------------------------

    @property
    def locked(self) -> set[int]:
        """The rows that the open transaction has locked."""
        return {item.key for item in self.open if item.kind != "insert"}

    @property
    def busy(self) -> set[int]:
        """The keys that another session of the application would have to wait for."""
        return {item.key for item in self.open}

    def end(self, *, commit: bool) -> None:
        """End the open transaction."""
        for item in self.open if commit else ():
            if item.kind == "insert":
                self.target[item.key] = TargetRow()
            elif item.kind == "delete":
                del self.target[item.key]
            elif item.kind == "update":
                self.target[item.key] = replace(self.target[item.key], other="updated")
        self.open = []


def key_of(job: str) -> int | None:
    """The key of the job's row; None if the job is not ours, and 0 if its key is refused."""
    if not job.isdigit():
        return None
    return int(job) if str(int(job)) == job else 0
