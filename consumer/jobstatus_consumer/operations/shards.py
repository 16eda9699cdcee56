"""One value for each job, in bounded memory: if there are too many jobs, the log is read again for the rest.

A pass holds the jobs whose key's checksum is in one class. When the jobs become too many, the pass keeps half of them,
which have missed nothing, and leaves the other half to a later pass. So the result is exact for any number of jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar
from zlib import crc32

T = TypeVar("T")

BYTES: Final = 320 * 1024 * 1024
"""About how much memory a pass may take, in bytes."""
OF_A_JOB: Final = 500
"""About how many bytes a job takes beside its error message."""


class Pass(Generic[T]):
    """The jobs of one class, and the value of each. `extra` counts the bytes beside `OF_A_JOB`."""

    def __init__(self, modulus: int, residue: int, limit: int) -> None:
        self.modulus: int = modulus
        self.residue = residue
        self.jobs: dict[str, T] = {}
        self.left: list[tuple[int, int]] = []
        self.extra = 0
        self._limit = limit

    @property
    def first(self) -> bool:
        """Whether this is the first pass. It alone sees every record, and counts them."""
        return self.residue == 0

    def has(self, key: bytes | None) -> bool:
        """Whether the job with this key belongs to this pass."""
        return self.modulus == 1 or crc32(key or b"") % self.modulus == self.residue

    def make_room(self) -> None:
        """Keep half of the jobs if they have become too many. Call it between two chunks of the log."""
        while len(self.jobs) * OF_A_JOB + self.extra > self._limit and len(self.jobs) > 1:
            self.left.append((2 * self.modulus, self.residue + self.modulus))
            self.modulus *= 2
            before = len(self.jobs)
            self.jobs = {job: found for job, found in self.jobs.items() if self.has(job.encode())}
            self.extra = self.extra * len(self.jobs) // before


def passes(kind: Callable[[int, int, int], Pass[T]], limit: int = BYTES) -> Iterator[Pass[T]]:
    """One pass after another, until every job has been in one. Run each pass before taking the next."""
    todo = [(1, 0)]
    while todo:
        found = kind(*todo.pop(), limit)
        yield found
        todo += found.left
