"""An open spool: accepted events in an SQLite file, until the broker has acknowledged them.

The file belongs to the process that holds the lock on its `.lock` file. Two rules hold whatever is interrupted or
damaged: an accepted event is not deleted before it is delivered, and a delivered one does not come out of the same
object again.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jobstatus_producer.errors import SpoolError
from jobstatus_producer.record import Record
from jobstatus_producer.spool.database import SpoolDamagedError, connect, prepare, side_files, transaction, translated
from jobstatus_producer.spool.identity import OpenedFiles
from jobstatus_producer.spool.lock import SQLITE_LOCK, FileLock
from jobstatus_producer.spool.rows import ROW_BYTES, Totals, crc_of, is_sound

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX: Final = ".spool"
_FIRST: Final = "select seq, key, value, traceparent, crc from events order by seq limit ?"
_TOTALS: Final = "select count(*), coalesce(sum(length(key) + length(value) + ?), 0), min(seq), max(seq) from events"
_SIZES: Final = "select seq, length(key) + length(value) + ? from events"


class Refused(NamedTuple):
    """An event that the broker refused for its content, why, and when (microseconds since 1970-01-01 UTC)."""

    record: Record
    reason: str
    refused_at: int


class SpoolFile:
    """An open spool. Thread-safe. Its records come out in the order of `seq`.

    Every method may block for the disk and, for up to 5 s, for another process that writes to the same file. All raise
    `SpoolWriteError` or `SpoolDamagedError` where SQLite fails, unless they say otherwise.
    """

    def __init__(self, path: Path, lock: FileLock, *, durable: bool = False) -> None:
        """Open the file. Raises `SpoolDamagedError`, `SpoolVersionError` or `SpoolWriteError`, and keeps the lock."""
        self.path = path
        self.lock = lock
        self.released = False
        """closed, and another process may own it now: its numbers are those at closing"""
        self.adopted: set[int] = set()
        """the `seq` of each record that was saved from another file"""
        self._totals = Totals(0, 0, ())
        self._totals_are_current = False
        """False while a write is under way, and after one that was interrupted: then the rows are counted again"""
        self._deletion_pending: set[int] = set()
        """the `seq` of each record that is delivered, but could not be deleted yet"""
        with SQLITE_LOCK:
            with translated(path):
                self._database = connect(path)
            try:
                with translated(path):
                    prepare(self._database, path, durable=durable)
                    self._totals, self._totals_are_current = self._count(), True
            except SpoolError:
                self._database.close()
                raise
        self._files = OpenedFiles(path)

    def __len__(self) -> int:
        return self.totals().events

    def totals(self) -> Totals:
        """The events that wait. Never raises: where they cannot be counted, the totals known last."""
        if not self._totals_are_current:
            with SQLITE_LOCK, suppress(sqlite3.Error):
                # another thread may have counted in the meantime. In a signal's handler that interrupts a write, the
                # totals from before that write still hold: it is not committed
                if not self._totals_are_current and not self._database.in_transaction:
                    self._totals, self._totals_are_current = self._count(), True
        return self._totals

    def add(self, records: Sequence[Record]) -> None:
        """Keep `records`, all or none. When this returns they survive the process."""
        rows = [(*record, crc_of(record)) for record in records]

        def insert(before: Totals) -> Totals | None:
            added = self._database.executemany("insert or ignore into events values (?, ?, ?, ?, ?)", rows).rowcount
            if added == len(rows) or not rows:
                return before.plus(records)
            # some were written by a call that was interrupted after its commit
            self._database.executemany("insert or replace into events values (?, ?, ?, ?, ?)", rows)
            return None

        self._write(insert)

    def adopt(self, saved: Sequence[Record]) -> None:
        """Keep records that were saved from another file, all or none, and replace none that is here.

        Two processes may have used the same `seq` for different events: then the saved one gets the next free number.
        A record that was adopted before is not kept twice.
        """
        placed: list[tuple[Record, bool]] = []

        def place(before: Totals) -> Totals:
            placed.extend(self._place(record) for record in saved)
            return before.plus([record for record, is_new in placed if is_new])

        self._write(place)
        self.adopted.update(record.seq for record, _ in placed)

    def first(self, count: int) -> list[Record]:
        """Up to `count` records in order. One whose checksum is wrong is moved to the refused ones."""
        with SQLITE_LOCK, translated(self.path):
            rows = self._query(_FIRST, count + len(self._deletion_pending))
        sound = []
        for row in rows:
            if not is_sound(row):
                self.refuse(Record(*row[:4]), "damaged in the spool: its checksum does not match")
            elif row[0] not in self._deletion_pending:
                sound.append(Record(*row[:4]))
        return sound

    def remove(self, records: Iterable[Record]) -> None:
        """Delete delivered records. They do not come out again from this object, even if this raises."""
        removed = [record for record in records if record.seq not in self._deletion_pending]
        with SQLITE_LOCK:
            before = self.totals()
            were_current, after = self._totals_are_current, before.minus(removed)
            # a handler that counts in between must not count with one half of the change
            self._totals_are_current = False
            self._deletion_pending.update([record.seq for record in removed])
            self._totals, self._totals_are_current = after, were_current and self._totals is before
            self._write(self._delete_pending)
            self._deletion_pending.clear()

    def refuse(self, record: Record, reason: str) -> None:
        """Keep a record, whether it is in here or not, among the refused ones, which wait for a person."""
        row = (*record, crc_of(record), reason, time.time_ns() // 1000)

        def move(before: Totals) -> Totals:
            self._database.execute("insert or replace into refused values (?, ?, ?, ?, ?, ?, ?)", row)
            deleted = self._database.execute("delete from events where seq = ?", (record.seq,)).rowcount
            return before.minus([record] * deleted)

        self._write(move)

    def refused(self) -> list[Refused]:
        """The events that the broker refused, oldest first."""
        with SQLITE_LOCK, translated(self.path):
            rows = self._query("select seq, key, value, traceparent, reason, refused_at from refused order by seq")
        return [Refused(Record(*row[:4]), row[4], row[5]) for row in rows]

    def refused_bytes(self) -> int:
        """The bytes that they take. Read from the file each time: a person may delete them at any moment."""
        return self._one("select sum(length(key) + length(value) + ?) from refused", ROW_BYTES) or 0

    def oldest(self) -> int | None:
        """The lowest `seq`; None where nothing waits."""
        return self._one("select min(seq) from events")

    def newest(self) -> int | None:
        """The highest `seq`; None where nothing waits."""
        return self._one("select max(seq) from events")

    def check(self) -> None:
        """Read the whole file. Raises `SpoolDamagedError` if it is not sound."""
        with SQLITE_LOCK, translated(self.path):
            (verdict,) = self._query("pragma quick_check(1)")[0]
        if verdict != "ok":
            raise SpoolDamagedError(f"{self.path}: {verdict}")

    @property
    def owner(self) -> int:
        """The user id that the file system gives for the file."""
        return self._files.owner

    def still_on_disk(self) -> bool:
        """Whether the next process would find what is written here: a cleaner of old files may have removed it."""
        return self._files.are_still_there()

    def copy_to(self, other: SpoolFile) -> None:
        """Write all that is in here to `other`, a new spool. Works on the open file, even if its name is gone."""

        def copy(_before: Totals) -> None:
            pending = self._deletion_pending
            events = (row for row in self._database.execute("select * from events") if row[0] not in pending)
            refused = self._database.execute("select * from refused")
            other._database.executemany("insert into events values (?, ?, ?, ?, ?)", events)
            other._database.executemany("insert into refused values (?, ?, ?, ?, ?, ?, ?)", refused)

        other._write(copy)
        other.adopted = self.adopted

    def close(self) -> None:
        """Close the file and give up the lock. A spool in which nothing is left is deleted. Never raises."""
        with SQLITE_LOCK:
            empty = self._is_empty()
            self.released = True
            self._database.close()
            if empty:
                for file in (self.path, *side_files(self.path)):
                    # an empty spool that stays is deleted by the next start
                    with suppress(OSError):
                        file.unlink()
        if empty:
            self.lock.remove()
        else:
            self.lock.release()

    def close_and_unlink(self) -> None:
        """Close the file, give up the lock and delete the files that were opened, but none put in their place."""
        self.close_database()
        self._files.unlink()
        self.lock.release()

    def release(self) -> None:
        """Close the file and give up the lock, with whatever is in it. Any process may take it over, this one too."""
        self.released = True
        self.close_database()
        self.lock.release()

    def close_database(self) -> None:
        """Close the database alone: the file stays, and so does the lock."""
        with SQLITE_LOCK:
            self._database.close()

    def after_fork(self) -> None:
        """In the child: the file remains the parent's. The connection must not be used, nor closed."""
        self.lock.release()

    def _place(self, record: Record) -> tuple[Record, bool]:
        """Insert the record at its `seq` or the next free one; returns it, and whether it was not there before."""
        while here := self._query("select seq, key, value, traceparent from events where seq = ?", record.seq):
            if Record(*here[0]) == record:
                return record, False
            record = record._replace(seq=record.seq + 1)
        self._database.execute("insert into events values (?, ?, ?, ?, ?)", (*record, crc_of(record)))
        return record, True

    def _delete_pending(self, before: Totals) -> Totals | None:
        seqs = [(seq,) for seq in self._deletion_pending]
        deleted = self._database.executemany("delete from events where seq = ?", seqs).rowcount
        return before if deleted == len(seqs) else None

    def _is_empty(self) -> bool:
        """Whether nothing is in the file. Read from the rows: a wrong total must not delete an event."""
        try:
            for (seq,) in self._database.execute("select seq from events"):
                if seq not in self._deletion_pending:
                    return False
            return not self._query("select exists (select 1 from refused)")[0][0]
        except sqlite3.Error:
            # unreadable is not empty
            return False

    def _count(self) -> Totals:
        count, size, *span = self._query(_TOTALS, ROW_BYTES)[0]
        rows = self._database.execute(_SIZES, (ROW_BYTES,)) if self._deletion_pending else ()
        pending = [row[1] for row in rows if row[0] in self._deletion_pending]
        return Totals(count - len(pending), size - sum(pending), tuple(span) if count else ())

    def _one(self, sql: str, *values: object) -> int | None:
        with SQLITE_LOCK, translated(self.path):
            found: int | None = self._query(sql, *values)[0][0]
        return found

    def _query(self, sql: str, *values: object) -> list[Any]:
        return self._database.execute(sql, values).fetchall()

    def _write(self, change: Callable[[Totals], Totals | None]) -> None:
        """Do `change` in one transaction. It returns the totals after it, or None: then the rows are counted again.

        A signal's handler may raise before the commit or after it, and may itself count or write in between. The totals
        that `change` computed are current only where no handler did either: then `_totals` is still `before`.
        """
        with SQLITE_LOCK, translated(self.path):
            before = self.totals()
            were_current = self._totals_are_current
            try:
                with transaction(self._database):
                    self._totals_are_current = False
                    after = change(before)
            except sqlite3.Error:
                # rolled back
                self._totals_are_current = were_current and self._totals is before
                raise
            # Python runs handlers at calls, and there is none between these two lines: they change together
            are_current = were_current and self._totals is before and after is not None
            self._totals, self._totals_are_current = after or before, are_current
