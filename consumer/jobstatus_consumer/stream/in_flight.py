"""The batches that were sent to the database and are not acknowledged yet. For the writer's thread, but for `wake`.

They are in the order of the log, and the database executes them in that order. After an error none of those left was
written behind one that was not; the writer writes each of them again.
"""

from __future__ import annotations

import logging
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from jobstatus_consumer.records import Batch, Written
from jobstatus_consumer.stream.ports import SendingPort

logger = logging.getLogger("jobstatus.writer")

REST_EVERY: Final = 5.0
"""Seconds. A session reports what it did to the statistics, by which the server vacuums, only while it rests."""

VAIN_TRIES: Final = 3
"""So many errors in a row that did not come back when the batch was written alone: batches in flight do not work."""
ALONE_FOR: Final = 300.0
"""Seconds for which each batch is written alone after that."""


class InFlight:
    """The batches in flight, at most `limit`."""

    def __init__(self, store: SendingPort, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._limit = limit
        self._clock = clock
        self._batches: deque[Batch] = deque()
        # when the first batch was sent since the connection rested; None while it rests
        self._since: float | None = None
        # errors since the last answer, each of which the same batch did not have when it was written alone
        self._vain = 0
        self._alone_until: float | None = None
        # with which the thread that hands in tasks ends a wait for the database; none where nothing is sent
        self._ends: list[socket.socket] = [*socket.socketpair()] if limit > 1 else []
        for end in self._ends:
            end.setblocking(False)

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def several(self) -> bool:
        """Whether more than one batch may be in flight. Otherwise none is sent, and each is written alone."""
        if self._alone_until is not None and self._clock() >= self._alone_until:
            self._alone_until = None
        return self._limit > 1 and self._alone_until is None

    @property
    def full(self) -> bool:
        """Whether an answer has to come before another batch is sent."""
        return len(self._batches) >= self._limit

    @property
    def resting(self) -> bool:
        """Whether the connection can be used for anything else."""
        return self._since is None

    @property
    def tired(self) -> bool:
        """Whether the connection must rest before another batch is sent."""
        return self._since is not None and self._clock() - self._since > REST_EVERY

    def send(self, batch: Batch) -> bool:
        """Send a batch; False if it has to be written alone. Raises what the store raises."""
        if self._since is None:
            self._since = self._clock()
        if not self._store.send(batch):
            return False
        # without what it was encoded to, which may be as large as the batch
        self._batches.append(Batch(batch.events, batch.rejected, batch.ranges))
        return True

    def receive(self) -> tuple[Batch, Written] | None:
        """The oldest batch and what became of it. Blocks; None if a task was handed in before, and there is room."""
        reader = self._ends[0]
        written = self._store.receive(None if self.full else reader.fileno())
        if written is None:
            with suppress(BlockingIOError):
                reader.recv(4096)
            return None
        self._vain = 0
        return self._batches.popleft(), written

    def note_vain(self, error: Exception) -> None:
        """A batch was written alone, and without a trace of the `error` in flight before."""
        self._vain += 1
        if self._vain >= VAIN_TRIES:
            self._alone_until = self._clock() + ALONE_FOR
        if self._vain == VAIN_TRIES:
            text = "batches fail in flight, and not alone: %s. Each is written alone for %.0f s, which is slower"
            logger.warning(text, error, ALONE_FOR)

    def rest(self) -> None:
        """Make the connection usable for anything else; nothing may be in flight. Raises what the store raises."""
        if self._since is not None:
            self._since = None
            self._store.rest()

    def take_all(self) -> list[Batch]:
        """The batches that were in flight, after an error."""
        batches = list(self._batches)
        self._batches.clear()
        return batches

    def wake(self) -> None:
        """End a wait of `receive`: there is a task. For another thread; never blocks."""
        for end in self._ends[1:]:
            with suppress(OSError):
                end.send(b"!")

    def close(self) -> None:
        """Close what `wake` uses."""
        for end in self._ends:
            end.close()
