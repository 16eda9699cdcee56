"""One spool file: an SQLite database that keeps accepted events until the broker has acknowledged them.

The one module that knows SQLite. A file belongs to the process that holds the lock on its `.lock` file; the operating
system lets go of it however the process ends. WAL with `synchronous=NORMAL` survives the death of the process at any
moment; `FULL`, which a durable producer uses, survives the machine's, too.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jobstatus_producer.errors import SpoolError
from jobstatus_producer.record import Record
from jobstatus_producer.spool.lock import FileLock
from jobstatus_producer.spool.rows import ROW_BYTES, Totals, crc_of, is_sound

if TYPE_CHECKING:
    from pathlib import Path

GUARD: Final = threading.RLock()
"""Around all that SQLite does: it has locks of its own for the whole process, which no fork may find taken. A signal's
handler that flushes or closes may have interrupted the thread that has it."""
VERSION: Final = 1
SUFFIX: Final = ".spool"
_SCHEMA: Final = """
create table events (
  seq integer primary key, key blob not null, value blob not null, traceparent text, crc integer not null);
create table refused (
  seq integer primary key, key blob not null, value blob not null, traceparent text, crc integer not null,
  reason text not null, refused_at integer not null);
"""
_FIRST: Final = "select seq, key, value, traceparent, crc from events order by seq limit ?"
_FROM_BOTH_ENDS: Final = (
    "select seq, key, value, traceparent, crc from events order by seq",
    "select seq, key, value, traceparent, crc from events order by seq desc",
)
_TOTALS: Final = "select count(*), coalesce(sum(length(key) + length(value) + ?), 0), min(seq), max(seq) from events"
_SIZES: Final = "select seq, length(key) + length(value) + ? from events"
MAX_SALVAGED_BYTES: Final = 2**40
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class SpoolWriteError(SpoolError):
    """A write failed (disk full, read-only, ...): nothing of it is in the file; it may work later."""


class SpoolDamagedError(SpoolError):
    """The file's content is no sound database (any more)."""


class SpoolVersionError(SpoolError):
    """The file was written by a newer version: it is left alone."""


class Refused(NamedTuple):
    """An event that the broker refused, and why."""

    entry: Record
    reason: str
    refused_at: int


def create(path: Path) -> None:
    """Make an empty spool. It gets its name when it is complete: so an empty file under it is a damaged one."""
    unfinished = path.with_suffix(".new")
    try:
        with GUARD, _closing(sqlite3.connect(unfinished, isolation_level=None)) as database:
            database.execute("pragma journal_mode=wal")
            database.executescript(_SCHEMA)
            database.execute(f"pragma user_version={VERSION}")
        unfinished.chmod(0o600)
        unfinished.rename(path)
    except (sqlite3.Error, OSError) as error:
        for file in (unfinished, *_beside(unfinished)):
            with suppress(OSError):
                file.unlink()
        raise SpoolError(f"cannot write in {path.parent}: {error}") from None


class SpoolFile:
    """An open spool. Thread-safe. Its entries come out in the order of `seq`."""

    def __init__(self, path: Path, lock: FileLock, *, durable: bool = False) -> None:
        self.path = path
        self.lock = lock
        self.resting = False
        """closed, and anybody's: its numbers are those of then"""
        self._totals = Totals(0, 0, ())
        self._sure = False
        """whether the totals are those of the file: no write is under way, or was interrupted"""
        self._names: dict[Path, tuple[int, int]] = {}
        """the files that were opened, by what `stat` said of them then"""
        self.taken_in: set[int] = set()
        """the `seq` of what came from another file"""
        self._gone: set[int] = set()
        """delivered, but not yet deleted because the deletion failed"""
        with GUARD:
            with _translated(path):
                self._database = _connect(path)
            try:
                with _translated(path):
                    self._prepare(durable)
            except SpoolError:
                self._database.close()
                raise

    def __len__(self) -> int:
        return self.totals().events

    def totals(self) -> Totals:
        """Counted anew if need be; where that cannot be done, those known last."""
        if not self._sure:
            with GUARD, suppress(sqlite3.Error):
                # another thread's write may have ended now; what was before one that a handler interrupts still holds
                if not self._sure and not self._database.in_transaction:
                    self._totals, self._sure = self._count(), True
        return self._totals

    def add(self, entries: Sequence[Record]) -> None:
        """Keep `entries`, all or none; when this returns they survive the process. Raises `SpoolWriteError`."""
        rows = [(*entry, crc_of(entry)) for entry in entries]

        def insert(before: Totals) -> Totals | None:
            added = self._database.executemany("insert or ignore into events values (?, ?, ?, ?, ?)", rows).rowcount
            if added == len(rows) or not rows:
                return before.plus(entries)
            # written before by a call that was interrupted
            self._database.executemany("insert or replace into events values (?, ?, ?, ?, ?)", rows)
            return None

        self._write(insert)

    def take_in(self, saved: Sequence[Record]) -> None:
        """Keep what was saved of another file, all or none, beside what is here: nothing is put over anything.

        Two processes may have used the same microsecond: the later one's entry gets the next that is free.
        """
        placed: list[tuple[Record, bool]] = []

        def place(before: Totals) -> Totals:
            placed.extend(self._place(entry) for entry in saved)
            return before.plus([entry for entry, is_new in placed if is_new])

        self._write(place)
        self.taken_in.update(entry.seq for entry, _ in placed)

    def first(self, count: int) -> list[Record]:
        """Up to `count` entries in order. One whose checksum is wrong is moved to the refused ones."""
        with GUARD, _translated(self.path):
            rows = self._query(_FIRST, count + len(self._gone))
        sound = []
        for row in rows:
            if not is_sound(row):
                self.refuse(Record(*row[:4]), "damaged in the spool: its checksum does not match")
            elif row[0] not in self._gone:
                sound.append(Record(*row[:4]))
        return sound

    def remove(self, entries: Iterable[Record]) -> None:
        """Forget delivered entries; they do not come out again, even where the file cannot be written."""
        removed = [entry for entry in entries if entry.seq not in self._gone]
        with GUARD:
            before = self.totals()
            sure, after = self._sure, before.less(removed)
            self._sure = False
            self._gone.update([entry.seq for entry in removed])
            self._totals, self._sure = after, sure and self._totals is before
            self._write(self._delete_gone)
            self._gone.clear()

    def refuse(self, entry: Record, reason: str) -> None:
        """Move an entry, or put a new one, where the refused ones are kept for a person."""
        row = (*entry, crc_of(entry), reason, time.time_ns() // 1000)

        def move(before: Totals) -> Totals:
            self._database.execute("insert or replace into refused values (?, ?, ?, ?, ?, ?, ?)", row)
            held = self._database.execute("delete from events where seq = ?", (entry.seq,)).rowcount
            return before.less([entry] * held)

        self._write(move)

    def refused(self) -> list[Refused]:
        """The events that the broker refused, oldest first."""
        with GUARD, _translated(self.path):
            rows = self._query("select seq, key, value, traceparent, reason, refused_at from refused order by seq")
        return [Refused(Record(*row[:4]), row[4], row[5]) for row in rows]

    def refused_bytes(self) -> int:
        """How much they take; asked anew each time, for a person may clear them at any moment."""
        return self._one("select sum(length(key) + length(value) + ?) from refused", ROW_BYTES) or 0

    def oldest(self) -> int | None:
        """The lowest `seq`."""
        return self._one("select min(seq) from events")

    def newest(self) -> int | None:
        """The highest `seq`."""
        return self._one("select max(seq) from events")

    def check(self) -> None:
        """Read the whole file; raises `SpoolDamagedError`."""
        with GUARD, _translated(self.path):
            (verdict,) = self._query("pragma quick_check(1)")[0]
        if verdict != "ok":
            raise SpoolDamagedError(f"{self.path}: {verdict}")

    def in_place(self) -> bool:
        """Whether what was opened is still what a next owner would find: somebody may have cleared the folder."""
        return all(_identity(path) == known for path, known in self._names.items())

    def copy_to(self, other: SpoolFile) -> None:
        """Write all that is in here to `other`, a new one; it is read from what was opened, whatever its name is."""

        def copy(_before: Totals) -> None:
            events = (row for row in self._database.execute("select * from events") if row[0] not in self._gone)
            refused = self._database.execute("select * from refused")
            other._database.executemany("insert into events values (?, ?, ?, ?, ?)", events)
            other._database.executemany("insert into refused values (?, ?, ?, ?, ?, ?, ?)", refused)

        other._write(copy)
        other.taken_in = self.taken_in

    def give_up_names(self) -> None:
        """Close, and remove what is left of the files under their names, but nothing that somebody else put there."""
        self.drop()
        for path, known in self._names.items():
            # a copy too many does no harm where it cannot be removed
            with suppress(OSError):
                if _identity(path) == known:
                    path.unlink()
        self.lock.release()

    def close(self) -> None:
        """Let go of file and lock; a spool in which nothing is left is removed."""
        with GUARD:
            empty = self._is_empty()
            self.resting = True
            self._database.close()
            if empty:
                for file in (self.path, *_beside(self.path)):
                    # an empty one that stays is cleared away by the next start
                    with suppress(OSError):
                        file.unlink()
        if empty:
            self.lock.remove()
        else:
            self.lock.release()

    def rest(self) -> None:
        """Let go of file and lock until its turn comes, when it is opened anew: open files are few."""
        self.resting = True
        self.drop()
        self.lock.release()

    def drop(self) -> None:
        """Close the database alone: file and lock stay."""
        with GUARD:
            self._database.close()

    def after_fork(self) -> None:
        """In the child: the file remains the parent's."""
        self.lock.release()

    def _place(self, entry: Record) -> tuple[Record, bool]:
        """Where the entry is now, and whether it was not there before."""
        while here := self._query("select seq, key, value, traceparent from events where seq = ?", entry.seq):
            if Record(*here[0]) == entry:
                return entry, False
            entry = entry._replace(seq=entry.seq + 1)
        self._database.execute("insert into events values (?, ?, ?, ?, ?)", (*entry, crc_of(entry)))
        return entry, True

    def _delete_gone(self, before: Totals) -> Totals | None:
        gone = [(seq,) for seq in self._gone]
        deleted = self._database.executemany("delete from events where seq = ?", gone).rowcount
        return before if deleted == len(gone) else None

    def _is_empty(self) -> bool:
        """By what is in the file: to count wrong must not remove anything."""
        try:
            for (seq,) in self._database.execute("select seq from events"):
                if seq not in self._gone:
                    return False
            return not self._query("select exists (select 1 from refused)")[0][0]
        except sqlite3.Error:
            # unreadable is not empty
            return False

    def _prepare(self, durable: bool) -> None:
        self._check_version()
        self._database.execute("pragma journal_mode=wal")
        self._database.execute(f"pragma synchronous={'full' if durable else 'normal'}")
        self._database.execute("pragma journal_size_limit=4194304")
        self._totals, self._sure = self._count(), True
        files = (self.path, *_beside(self.path), self.path.with_suffix(".lock"))
        self._names = {file: known for file in files if (known := _identity(file)) is not None}

    def _count(self) -> Totals:
        count, size, *span = self._query(_TOTALS, ROW_BYTES)[0]
        rows = self._database.execute(_SIZES, (ROW_BYTES,)) if self._gone else ()
        gone = [row[1] for row in rows if row[0] in self._gone]
        return Totals(count - len(gone), size - sum(gone), tuple(span) if count else ())

    def _check_version(self) -> None:
        version = self._query("pragma user_version")[0][0]
        if version > VERSION:
            raise SpoolVersionError(
                f"{self.path}: written by a newer version (layout {version}, known here: {VERSION})"
            )
        if version != VERSION:
            raise SpoolDamagedError(f"{self.path}: no spool, or one that was cut off")

    def _one(self, sql: str, *values: object) -> int | None:
        with GUARD, _translated(self.path):
            found: int | None = self._query(sql, *values)[0][0]
        return found

    def _query(self, sql: str, *values: object) -> list[Any]:
        return self._database.execute(sql, values).fetchall()

    def _write(self, change: Callable[[Totals], Totals | None]) -> None:
        """Do `change`, all or nothing of it. It returns what the totals are then; None: count anew.

        What a signal's handler raises comes before the commit or after it, and a handler may itself count or write in
        between: what was counted is certain only where nothing of that happened.
        """
        with GUARD, _translated(self.path):
            before = self.totals()
            sure = self._sure
            try:
                with self._transaction():
                    self._sure = False
                    after = change(before)
            except sqlite3.Error:
                self._sure = sure and self._totals is before
                raise
            # no handler comes in between these: it would at a call
            sure = sure and self._totals is before and after is not None
            self._totals, self._sure = after or before, sure

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._database.in_transaction:
            # that of a call which this one, in a signal's handler, interrupts: it fails, or has failed
            self._database.execute("rollback")
        try:
            self._database.execute("begin immediate")
            yield
            self._database.execute("commit")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("rollback")
            raise


def salvage(path: Path) -> list[Record]:
    """Whatever can still be read of a damaged file, from both its ends; the file itself stays as it is.

    Raises `OSError` or `SpoolError` where there is no room for the copy that is read, or no right to read.
    """
    copy = path.with_suffix(".salvage")
    try:
        for file, its_copy in zip((path, *_beside(path)), (copy, *_beside(copy)), strict=True):
            if file.exists():
                shutil.copyfile(file, its_copy)
        _lengthen(copy)
        with GUARD, _translated(copy), _closing(_connect(copy)) as database:
            return _readable(database)
    finally:
        for its_copy in (copy, *_beside(copy)):
            its_copy.unlink(missing_ok=True)


def _lengthen(path: Path) -> None:
    """SQLite opens no file that is shorter than its header says: make up for what was cut off."""
    with path.open("r+b") as file:
        header = file.read(32)
        if header.startswith(b"SQLite format 3\x00"):
            page_size = int.from_bytes(header[16:18], "big")
            pages = int.from_bytes(header[28:32], "big")
            wanted = pages * (65_536 if page_size == 1 else page_size)
            if path.stat().st_size < wanted < MAX_SALVAGED_BYTES:
                file.truncate(wanted)


def _readable(database: sqlite3.Connection) -> list[Record]:
    found: dict[int, Record] = {}
    for statement in _FROM_BOTH_ENDS:
        try:
            for row in database.execute(statement):
                if is_sound(row):
                    found[row[0]] = Record(*row[:4])
        except (sqlite3.Error, UnicodeDecodeError):
            # what lies behind the damage may be reached from the other end
            continue
    return [found[seq] for seq in sorted(found)]


def set_aside(path: Path) -> Path:
    """Rename a spool file, with what SQLite keeps beside it, so that nobody takes it over. Returns its new path."""
    kept = path.with_suffix(f".{time.time_ns()}.damaged")
    for beside in _beside(path):
        if beside.exists():
            beside.rename(f"{kept}{beside.name.removeprefix(path.name)}")
    path.rename(kept)
    return kept


def _connect(path: Path) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


def _beside(path: Path) -> list[Path]:
    return [path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


@contextmanager
def _closing(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        yield database
    finally:
        database.close()


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        kind = SpoolDamagedError if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED else SpoolWriteError
        raise kind(f"{path}: {error}") from error
