"""Accepted events that librdkafka does not hold: in memory, and in the spool where there is one."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from jobstatus_producer.entry import Entry


class Backlog:
    """Keeps entries in their order until they are settled. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[int, Entry] = {}

    def __len__(self) -> int:
        return len(self._held)

    def add(self, entries: Sequence[Entry]) -> None:
        """Keep `entries`, which are newer than all that is here or come back from librdkafka."""
        with self._lock:
            for entry in entries:
                self._held[entry.seq] = entry

    def first(self, count: int) -> list[Entry]:
        """Up to `count` entries that go out next, in order; they stay here until they are settled."""
        with self._lock:
            return [self._held[seq] for seq in sorted(self._held)[:count]]

    def settle(self, entries: Sequence[Entry]) -> None:
        """Forget `entries`: they are delivered, or refused for good."""
        with self._lock:
            for entry in entries:
                del self._held[entry.seq]

    def oldest(self) -> int | None:
        """The `seq` of the oldest entry."""
        with self._lock:
            return min(self._held, default=None)
