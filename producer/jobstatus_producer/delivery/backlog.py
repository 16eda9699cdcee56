"""Accepted events that the Kafka client does not hold: in memory, and in the spools where there is a spool folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
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
"""The refused events in a spool may take such a part of what the spool may take, beside it."""


class Chunk(NamedTuple):
    """Entries that go out next, in order, and the taken-over spool they are from (None: this process's own)."""

    entries: list[Record]
    orphan: SpoolFile | None
    behind: frozenset[int]
    """the `seq` of those of which a copy, or something newer, may be in the log already"""

    def is_late(self, entry: Record, now_micros: int) -> bool:
        """Whether `entry` goes out marked as late: for its age, or because a copy of it may be in the log already.

        Between that copy and this one there may be newer events of the same job, and the copy must not undo them.
        """
        return self.orphan is not None or entry.seq in self.behind or entry.is_late(now_micros)


class Backlog:
    """Keeps entries in their order until they are settled. Thread-safe.

    Taken-over spools go first: what they hold is older than anything of this process.
    """

    def __init__(self, settings: ProducerSettings, trouble: Trouble) -> None:
        self._settings = settings
        self._trouble = trouble
        self._lock = threading.RLock()
        self._held: dict[int, Record] = {}
        self._tried: set[int] = set()
        self.bytes_in_memory = 0
        self.spooled = 0
        self.broken = False
        """the own spool could not be written or read at the last try"""
        self.unreadable = False
        """it could not be read: what is in it waits, and what is in memory goes out without it"""
        self._overtaken = 0
        """what is older than this `seq` and was not readable was overtaken"""
        self._closed = False
        self._own: SpoolFile | None = None
        self._orphans: list[SpoolFile] = []
        if settings.spool_dir is not None:
            self._own = spool_folder.open_own(settings.spool_dir, topic=settings.topic, durable=settings.durable)
            self._orphans = self._take_over(settings.spool_dir, self._own)
        self.taken_over = self.spool_depth
        """events that other processes left, and that this one delivers"""

    def __len__(self) -> int:
        return len(self._held) + self.spool_depth

    @property
    def in_memory(self) -> int:
        """How many entries a crash would lose."""
        return len(self._held)

    @property
    def has_spool(self) -> bool:
        """Whether there is a spool folder."""
        return self._own is not None

    @property
    def spool_depth(self) -> int:
        """How many entries are in spools."""
        return (0 if self._own is None else len(self._own)) + sum(len(orphan) for orphan in self._orphans)

    def accept(self, entries: Sequence[Record], *, in_memory: bool) -> bool:
        """Keep new entries, in the spool if there is one, else where they may be `in_memory`; False if neither."""
        with self._lock:
            if self._own is not None and not self.broken:
                if len(self._fitting(entries)) < len(entries):
                    self._say_full()
                    return False
                if self._spool(entries):
                    return True
            if self._settings.durable or not in_memory:
                return False
            self._keep(entries)
            return True

    def hold(self, entries: Sequence[Record]) -> None:
        """Keep entries that were accepted and came back from the client; the worker moves them to the spool."""
        with self._lock:
            self.note_tried([entry.seq for entry in entries])
            self._keep(entries)

    def note_tried(self, seqs: Sequence[int]) -> None:
        """The client has these: if they come out again, a copy of them may be in the log."""
        with self._lock:
            self._tried.update(seqs)
            if self.unreadable:
                self._overtaken = max(self._overtaken, *seqs, 0)

    def move_to_spool(self) -> None:
        """Try to write to the spool what is in memory."""
        with self._lock:
            if self._own is None or self._closed:
                return
            entries = [self._held[seq] for seq in sorted(self._held)]
            fitting = self._fitting(entries)
            if len(fitting) < len(entries):
                self._say_full()
            if (fitting or self.broken) and self._spool(fitting):
                for entry in fitting:
                    self._release(entry)

    def stay_in_place(self) -> None:
        """Give new files to the spools whose files somebody removed: a cleaner of old ones, or of a whole folder."""
        with self._lock:
            for file in self._files():
                self._in_place(file)

    def first(self, count: int) -> Chunk:
        """Up to `count` entries that go out next; they stay here until they are settled."""
        with self._lock:
            while self._orphans:
                orphan = self._orphans[0]
                if orphan.released:
                    self._wake(orphan)
                    continue
                entries = self._read(orphan, count)
                if entries:
                    return Chunk(entries, orphan, frozenset())
                if orphan in self._orphans:
                    self._orphans.remove(orphan)
                    orphan.close()
            spooled = [] if self._own is None else self._read(self._own, count)
            if not self._held:
                return self._chunk(spooled)
            together = {entry.seq: entry for entry in (*spooled, *self._held.values())}
            return self._chunk([together[seq] for seq in sorted(together)[:count]])

    def settle(self, entries: Sequence[Record], orphan: SpoolFile | None) -> None:
        """Forget `entries`: they are delivered."""
        with self._lock:
            in_spool = [entry for entry in entries if not self._release(entry)]
            if orphan is None:
                self._tried.difference_update(entry.seq for entry in entries)
            source = orphan or self._own
            if in_spool and source is not None:
                self._remove(in_spool, source)

    def refuse(self, entry: Record, reason: str, orphan: SpoolFile | None = None) -> bool:
        """Keep an event that the broker refused, for a person; False if there is no spool that can keep it.

        Then it is with its caller, who is told, and goes out no more.
        """
        with self._lock:
            self._release(entry)
            if orphan is None:
                self._tried.discard(entry.seq)
            source = orphan or self._own
            if source is None:
                return False
            kept = self._keep_refused(source, entry, reason)
            if not kept:
                self._remove([entry], source)
            return kept

    def _remove(self, entries: Sequence[Record], source: SpoolFile) -> None:
        try:
            source.remove(entries)
        except SpoolError as error:
            # they will not go out again from this process, and once more from the next one at worst
            self._trouble(f"events that are done with cannot be deleted from the spool: {error}")

    def _keep_refused(self, source: SpoolFile, entry: Record, reason: str) -> bool:
        share = self._settings.spool_max_bytes // REFUSED_SHARE
        try:
            if source.refused_bytes() + size_of(entry) <= share:
                source.refuse(entry, reason)
                return True
            self._trouble(f"a refused event cannot be kept in the spool: {share} bytes of them are there")
        except SpoolError as error:
            self._trouble(f"a refused event cannot be kept in the spool: {error}")
        return False

    def _keep(self, entries: Sequence[Record]) -> None:
        for entry in entries:
            # one that a signal's handler kept from being told of may come back twice
            self._release(entry)
            size = len(entry.value)
            # no call between these two, or a signal's handler might
            self._held[entry.seq] = entry
            self.bytes_in_memory += size

    def _chunk(self, entries: list[Record]) -> Chunk:
        return Chunk(entries, None, frozenset(entry.seq for entry in entries if self._may_be_behind(entry.seq)))

    def _may_be_behind(self, seq: int) -> bool:
        taken_in = self._own is not None and seq in self._own.adopted
        return taken_in or seq in self._tried or seq < self._overtaken

    def _release(self, entry: Record) -> bool:
        found = self._held.pop(entry.seq, None)
        if found is not None:
            self.bytes_in_memory -= len(found.value)
        return found is not None

    def oldest(self) -> int | None:
        """The `seq` of the oldest entry."""
        return self._edge(min, SpoolFile.oldest)

    def newest(self) -> int | None:
        """The `seq` of the newest entry."""
        return self._edge(max, SpoolFile.newest)

    def close(self) -> list[Record]:
        """Let go of the spools; returns what is nowhere but in memory, or in a file that nobody will find."""
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
            # the same again for whoever was interrupted before it had the answer
            return [self._held[seq] for seq in sorted(self._held)]

    def after_fork(self) -> None:
        """In the child: the spools remain the parent's."""
        for file in self._files():
            file.after_fork()

    def _take_over(self, folder: Path, own: SpoolFile) -> list[SpoolFile]:
        try:
            return spool_folder.take_over(folder, own, topic=self._settings.topic, durable=self._settings.durable)
        except BaseException:
            # nobody will close a backlog that was never made
            own.close()
            raise

    def _wake(self, orphan: SpoolFile) -> None:
        """Its turn has come; there is nothing to take where another process was faster."""
        assert self._own is not None  # noqa: S101 - or there would be no orphans
        depth = self.spool_depth
        found = spool_folder.take(orphan.path, self._own, durable=self._settings.durable)
        place = self._orphans.index(orphan)
        self._orphans[place : place + 1] = [] if found is None else [found]
        self.taken_over += self.spool_depth - depth

    def _files(self) -> list[SpoolFile]:
        """The open ones."""
        return [file for file in self._all() if not file.released]

    def _all(self) -> list[SpoolFile]:
        return [*self._orphans, *([] if self._own is None else [self._own])]

    def _fitting(self, entries: Sequence[Record]) -> Sequence[Record]:
        """The first of `entries`, as many as the spool has room for."""
        assert self._own is not None  # noqa: S101 - the callers have asked
        room = self._settings.spool_max_bytes - self._own.totals().bytes
        ends = accumulate(map(size_of, entries))
        return entries[: sum(1 for _ in takewhile(room.__ge__, ends))]

    def _say_full(self) -> None:
        self._trouble(f"the spool is full (JOBSTATUS_SPOOL_MAX_BYTES={self._settings.spool_max_bytes})")

    def _spool(self, entries: Sequence[Record]) -> bool:
        assert self._own is not None  # noqa: S101 - the callers have asked
        # what was written where nothing can be read would wait there for ever
        if self.unreadable or not self._in_place(self._own):
            return False
        try:
            self._own.add(entries)
        except SpoolDamagedError as error:
            self.broken = not self._replaced(self._own, error)
            return False
        except SpoolError as error:
            self.broken = True
            self._trouble(f"the spool cannot be written, events wait in memory: {error}")
            return False
        self.broken = False
        self.spooled += len(entries)
        return True

    def _in_place(self, file: SpoolFile) -> bool:
        """Whether what is written to it will be found by the next process; a file that was removed is made anew."""
        if file.still_on_disk():
            return True
        settings = self._settings
        try:
            new = spool_folder.renew(file, topic=settings.topic, durable=settings.durable)
        except SpoolError as error:
            self.broken = self.broken or file is self._own
            self._trouble(f"the spool was removed while in use, and cannot be made anew: {error}")
            return False
        if file is self._own:
            self._own = new
        else:
            self._orphans[self._orphans.index(file)] = new
        return True

    def _read(self, file: SpoolFile, count: int) -> list[Record]:
        try:
            entries = file.first(count)
        except SpoolDamagedError as error:
            if not self._replaced(file, error):
                self._go_on_without(file, error)
            return []
        except SpoolError as error:
            self._go_on_without(file, error)
            return []
        if file is self._own:
            self.unreadable = False
        return entries

    def _go_on_without(self, file: SpoolFile, error: Exception) -> None:
        """The own spool is tried again, one that was taken over is left to the next process."""
        self._trouble(f"a spool cannot be read, what is in it has to wait: {error}")
        if file is self._own:
            self.broken = self.unreadable = True
        elif file in self._orphans:
            self._orphans.remove(file)
            self.taken_over -= len(file)
            file.release()

    def _replace(self, file: SpoolFile, error: Exception) -> None:
        """Go on without a damaged file: what can be read of it moves to the own spool, a new one if it was that."""
        settings = self._settings
        assert settings.spool_dir is not None  # noqa: S101 - or there would be no file
        if file is self._own:
            # without a new one the old one stays, and the next try is as this one
            self._own = spool_folder.open_own(settings.spool_dir, topic=settings.topic, durable=settings.durable)
        else:
            self._orphans.remove(file)
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
                # what can be read of it is for the next process
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
