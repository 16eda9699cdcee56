"""Accepted events that wait for their next attempt: in memory, and in spool files if there is a spool folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from enum import Enum, auto
from itertools import accumulate, takewhile
from typing import TYPE_CHECKING, Final, NamedTuple

from jobstatus_producer.errors import SpoolError
from jobstatus_producer.record import Record
from jobstatus_producer.settings import ProducerSettings
from jobstatus_producer.spool import folder as spool_folder
from jobstatus_producer.spool.database import SpoolDamagedError
from jobstatus_producer.spool.file import SpoolFile
from jobstatus_producer.spool.rows import size_of

if TYPE_CHECKING:
    from pathlib import Path

Trouble = Callable[[str], None]
REFUSED_SHARE: Final = 10
"""Refused events may take this part of `spool_max_bytes`, in addition to it."""


class SpoolState(Enum):
    """What this process's own spool file could do at the last attempt."""

    WORKING = auto()
    UNWRITABLE = auto()
    """events wait in memory, within the bounds of memory"""
    UNREADABLE = auto()
    """as UNWRITABLE; besides, what is in the file waits, and what is in memory goes out before it"""


class Chunk(NamedTuple):
    """Records that go out next, in order."""

    records: list[Record]
    taken_over: SpoolFile | None
    """the spool of an ended process that they are from; None if they are this process's own"""
    maybe_in_log: frozenset[int]
    """the `seq` of those of which a copy, or newer news, may be in the log already"""

    def is_late(self, record: Record, now_micros: int) -> bool:
        """Whether `record` goes out marked as late: for its age, or because a copy of it may be in the log already.

        Newer events of the same job may follow that copy in the log, and the second copy must not undo them.
        """
        return self.taken_over is not None or record.seq in self.maybe_in_log or record.is_late(now_micros)


class Backlog:
    """Keeps records in their order until they are settled. Thread-safe. Every method may block on a spool file.

    Spools that were taken over go out first: what they hold is older than anything of this process.
    """

    def __init__(self, settings: ProducerSettings, trouble: Trouble) -> None:
        self._settings = settings
        self._trouble = trouble
        self._lock = threading.RLock()
        self._held: dict[int, Record] = {}
        self._tried: set[int] = set()
        self.bytes_in_memory = 0
        self.spooled = 0
        self.spool_state = SpoolState.WORKING
        self._overtaken = 0
        """the highest `seq` that went out while older records in the own spool could not be read"""
        self._closed = False
        self._own: SpoolFile | None = None
        self._taken_over: list[SpoolFile] = []
        if settings.spool_dir is not None:
            self._own = spool_folder.open_own(settings.spool_dir, topic=settings.topic, durable=settings.durable)
            self._taken_over = self._take_over(settings.spool_dir, self._own)
        self.taken_over = self.spool_depth
        """how many events of ended processes this one delivers"""

    def __len__(self) -> int:
        return len(self._held) + self.spool_depth

    @property
    def in_memory(self) -> int:
        """How many records are in memory alone: a crash would lose them."""
        return len(self._held)

    @property
    def has_spool(self) -> bool:
        """Whether there is a spool folder."""
        return self._own is not None

    @property
    def spool_works(self) -> bool:
        """Whether the last attempt to use the own spool went well."""
        return self.spool_state is SpoolState.WORKING

    @property
    def spool_depth(self) -> int:
        """How many records are in spools."""
        return sum(map(len, self._all()))

    def accept(self, records: Sequence[Record], *, in_memory: bool) -> bool:
        """Keep new records: in the spool if it works, else in memory if `in_memory` allows it. False: not kept."""
        with self._lock:
            if self._own is not None and self.spool_works:
                if len(self._fitting(records)) < len(records):
                    self._say_full()
                    return False
                if self._spool(records):
                    return True
            if self._settings.durable or not in_memory:
                return False
            self._keep(records)
            return True

    def hold(self, records: Sequence[Record]) -> None:
        """Keep records that came back from the Kafka client. In memory: `move_to_spool` writes them to the spool."""
        with self._lock:
            self.note_tried([record.seq for record in records])
            self._keep(records)

    def note_tried(self, seqs: Sequence[int]) -> None:
        """The Kafka client has these. If they go out again, a copy of them may be in the log."""
        with self._lock:
            self._tried.update(seqs)
            if self.spool_state is SpoolState.UNREADABLE:
                self._overtaken = max(self._overtaken, *seqs, 0)

    def move_to_spool(self) -> None:
        """Try to write the records in memory to the spool."""
        with self._lock:
            if self._own is None or self._closed:
                return
            records = [self._held[seq] for seq in sorted(self._held)]
            fitting = self._fitting(records)
            if len(fitting) < len(records):
                self._say_full()
            if (fitting or not self.spool_works) and self._spool(fitting):
                for record in fitting:
                    self._release(record)

    def stay_in_place(self) -> None:
        """Make the spool files anew that another program removed, such as one that deletes old files."""
        with self._lock:
            for file in self._files():
                self._in_place(file)

    def first(self, count: int) -> Chunk:
        """Up to `count` records that go out next. They stay here until they are settled."""
        with self._lock:
            while self._taken_over:
                file = self._taken_over[0]
                if file.released:
                    self._reopen(file)
                    continue
                records = self._read(file, count)
                if records:
                    return Chunk(records, file, frozenset())
                if file in self._taken_over:
                    self._taken_over.remove(file)
                    file.close()
            spooled = [] if self._own is None else self._read(self._own, count)
            if not self._held:
                return self._chunk(spooled)
            together = {record.seq: record for record in (*spooled, *self._held.values())}
            return self._chunk([together[seq] for seq in sorted(together)[:count]])

    def settle(self, records: Sequence[Record], taken_over: SpoolFile | None) -> None:
        """Forget `records`, which are delivered. `taken_over` is the spool that they are from, as in `Chunk`."""
        with self._lock:
            in_spool = [record for record in records if not self._release(record)]
            if taken_over is None:
                self._tried.difference_update(record.seq for record in records)
            source = taken_over or self._own
            if in_spool and source is not None:
                self._remove(in_spool, source)

    def refuse(self, record: Record, reason: str, taken_over: SpoolFile | None = None) -> bool:
        """Keep an event that the broker refused in its spool, for a person to look at. It does not go out again.

        False: no spool can keep it, so its caller has to be told.
        """
        with self._lock:
            self._release(record)
            if taken_over is None:
                self._tried.discard(record.seq)
            source = taken_over or self._own
            if source is None:
                return False
            kept = self._keep_refused(source, record, reason)
            if not kept:
                self._remove([record], source)
            return kept

    def _remove(self, records: Sequence[Record], source: SpoolFile) -> None:
        try:
            source.remove(records)
        except SpoolError as error:
            # this process does not send them again; the next one may, marked as late
            self._trouble(f"delivered or refused events cannot be deleted from the spool: {error}")

    def _keep_refused(self, source: SpoolFile, record: Record, reason: str) -> bool:
        share = self._settings.spool_max_bytes // REFUSED_SHARE
        try:
            if source.refused_bytes() + size_of(record) <= share:
                source.refuse(record, reason)
                return True
            self._trouble(f"a refused event cannot be kept in the spool: {share} bytes of them are there")
        except SpoolError as error:
            self._trouble(f"a refused event cannot be kept in the spool: {error}")
        return False

    def _keep(self, records: Sequence[Record]) -> None:
        for record in records:
            # a record may come back twice, where a signal handler interrupted its callback
            self._release(record)
            size = len(record.value)
            # Python runs signal handlers at calls, so there is none between these two lines
            self._held[record.seq] = record
            self.bytes_in_memory += size

    def _chunk(self, records: list[Record]) -> Chunk:
        return Chunk(records, None, frozenset(record.seq for record in records if self._may_be_behind(record.seq)))

    def _may_be_behind(self, seq: int) -> bool:
        adopted = self._own is not None and seq in self._own.adopted
        return adopted or seq in self._tried or seq < self._overtaken

    def _release(self, record: Record) -> bool:
        found = self._held.pop(record.seq, None)
        if found is not None:
            self.bytes_in_memory -= len(found.value)
        return found is not None

    def oldest(self) -> int | None:
        """The `seq` of the oldest record."""
        return self._edge(min, SpoolFile.oldest)

    def newest(self) -> int | None:
        """The `seq` of the newest record."""
        return self._edge(max, SpoolFile.newest)

    def close(self) -> list[Record]:
        """Let go of the spools. Returns the records that no next process will find: those in memory alone."""
        with self._lock:
            if not self._closed:
                self.move_to_spool()
                self.stay_in_place()
                for file in self._files():
                    if not file.still_on_disk():
                        self._keep(self._read(file, len(file)))
                self._closed = True
                for file in self._files():
                    file.close()
            # a second call returns the same, for a caller that was interrupted before it had the answer
            return [self._held[seq] for seq in sorted(self._held)]

    def after_fork(self) -> None:
        """To be called in a forked child: the spools remain the parent's."""
        for file in self._files():
            file.after_fork()

    def _take_over(self, folder: Path, own: SpoolFile) -> list[SpoolFile]:
        try:
            return spool_folder.take_over(folder, own, topic=self._settings.topic, durable=self._settings.durable)
        except BaseException:
            # the caller gets no backlog that it could close
            own.close()
            raise

    def _reopen(self, closed: SpoolFile) -> None:
        """Open a taken-over spool whose turn has come. Another process may have taken it in the meantime."""
        assert self._own is not None  # noqa: S101 - without it there are no taken-over spools
        depth = self.spool_depth
        found = spool_folder.take(closed.path, self._own, durable=self._settings.durable)
        place = self._taken_over.index(closed)
        self._taken_over[place : place + 1] = [] if found is None else [found]
        self.taken_over += self.spool_depth - depth

    def _files(self) -> list[SpoolFile]:
        """The open files."""
        return [file for file in self._all() if not file.released]

    def _all(self) -> list[SpoolFile]:
        return [*self._taken_over, *([] if self._own is None else [self._own])]

    def _fitting(self, records: Sequence[Record]) -> Sequence[Record]:
        """The first of `records`, as many as the spool has room for."""
        assert self._own is not None  # noqa: S101 - the callers have checked
        room = self._settings.spool_max_bytes - self._own.totals().bytes
        ends = accumulate(map(size_of, records))
        return records[: sum(1 for _ in takewhile(room.__ge__, ends))]

    def _say_full(self) -> None:
        self._trouble(f"the spool is full (JOBSTATUS_SPOOL_MAX_BYTES={self._settings.spool_max_bytes})")

    def _spool(self, records: Sequence[Record]) -> bool:
        assert self._own is not None  # noqa: S101 - the callers have checked
        # a record that is written to a file that cannot be read might never go out
        if self.spool_state is SpoolState.UNREADABLE or not self._in_place(self._own):
            return False
        try:
            self._own.add(records)
        except SpoolDamagedError as error:
            self.spool_state = SpoolState.WORKING if self._replaced(self._own, error) else SpoolState.UNWRITABLE
            return False
        except SpoolError as error:
            self.spool_state = SpoolState.UNWRITABLE
            self._trouble(f"the spool cannot be written, events wait in memory: {error}")
            return False
        self.spool_state = SpoolState.WORKING
        self.spooled += len(records)
        return True

    def _in_place(self, file: SpoolFile) -> bool:
        """Whether the next process will find what is written to `file`. A file that was removed is made anew first."""
        if file.still_on_disk():
            return True
        settings = self._settings
        try:
            new = spool_folder.renew(file, topic=settings.topic, durable=settings.durable)
        except SpoolError as error:
            if file is self._own and self.spool_works:
                self.spool_state = SpoolState.UNWRITABLE
            self._trouble(f"the spool was removed while in use, and cannot be made anew: {error}")
            return False
        if file is self._own:
            self._own = new
        else:
            self._taken_over[self._taken_over.index(file)] = new
        return True

    def _read(self, file: SpoolFile, count: int) -> list[Record]:
        try:
            records = file.first(count)
        except SpoolDamagedError as error:
            if not self._replaced(file, error):
                self._go_on_without(file, error)
            return []
        except SpoolError as error:
            self._go_on_without(file, error)
            return []
        if file is self._own and self.spool_state is SpoolState.UNREADABLE:
            # it works again when something is written to it
            self.spool_state = SpoolState.UNWRITABLE
        return records

    def _go_on_without(self, file: SpoolFile, error: Exception) -> None:
        """The own spool is tried again. One that was taken over is left to the next process."""
        self._trouble(f"a spool cannot be read, what is in it has to wait: {error}")
        if file is self._own:
            self.spool_state = SpoolState.UNREADABLE
        elif file in self._taken_over:
            self._taken_over.remove(file)
            self.taken_over -= len(file)
            file.release()

    def _replace(self, file: SpoolFile, error: Exception) -> None:
        """Go on without a damaged file: what can be read of it moves to the own spool.

        If the damaged file is the own spool, a new own spool is made first.
        """
        settings = self._settings
        assert settings.spool_dir is not None  # noqa: S101 - without a folder there is no file
        if file is self._own:
            # if this fails, the old file stays, and the next attempt does the same
            self._own = spool_folder.open_own(settings.spool_dir, topic=settings.topic, durable=settings.durable)
        else:
            self._taken_over.remove(file)
        assert self._own is not None  # noqa: S101
        file.close_database()
        spool_folder.rescue(file.path, file.lock, self._own, error)

    def _replaced(self, file: SpoolFile, damage: Exception) -> bool:
        depth, is_own = self.spool_depth, file is self._own
        try:
            self._replace(file, damage)
        except (OSError, SpoolError) as error:
            self._trouble(f"the spool is damaged and cannot be replaced: {error}")
            if file is not self._own:
                # the next process may read what can be read of it
                file.release()
            return file is not self._own
        finally:
            if not is_own:
                self.taken_over += self.spool_depth - depth
        return True

    def _edge(self, choose: Callable[..., int], of_file: Callable[[SpoolFile], int | None]) -> int | None:
        with self._lock:
            of_files = [self._edge_of(file, choose, of_file) for file in self._all() if len(file)]
            found = [*self._held, *(seq for seq in of_files if seq is not None)]
            return choose(found) if found else None

    def _edge_of(
        self, file: SpoolFile, choose: Callable[..., int], of_file: Callable[[SpoolFile], int | None]
    ) -> int | None:
        if not file.released:
            try:
                return of_file(file)
            except SpoolError as error:
                self._trouble(f"a spool cannot be read, what is in it has to wait: {error}")
        return choose(file.totals().span)
