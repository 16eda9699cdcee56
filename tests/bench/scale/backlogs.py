"""The topics of the scale bench: how many partitions, how long the messages are, how often a job comes again."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator
from typing import Final, NamedTuple

from jobstatus_schemas import JobStatusEvent, encode

STATUSES: Final = ("pending", "processing", "success")
NEAR: Final = 20
"""A job that comes again is one of so many before it, so most repeats are in one batch."""
MESSAGES: Final = 50
"""Different error messages."""


class Backlog(NamedTuple):
    """What is in a topic. `repeats` is the share of events whose job was one of the `NEAR` jobs before."""

    partitions: int = 16
    events: int = 600_000
    jobs: int = 20_000
    message_bytes: int = 0
    repeats: float | None = None

    @property
    def topic(self) -> str:
        parts = [self.partitions, self.events, self.jobs, self.message_bytes]
        return "scale-" + "-".join(map(str, [*parts, *([] if self.repeats is None else [round(100 * self.repeats)])]))

    def records(self) -> Iterator[tuple[str, bytes]]:
        """Keys and values, the same ones every time but for their times."""
        chance, now = random.Random(1), int(time.time() * 1e6)
        # hexadecimal digits, because the server would compress a text that repeats to nothing
        messages = [chance.randbytes(self.message_bytes // 2).hex() or None for _ in range(MESSAGES)]
        for number, job in enumerate(self._numbers(chance)):
            job_id = f"job-{job:06d}"
            event_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
            message = chance.choice(messages)
            status = "error" if message else chance.choice(STATUSES)
            yield job_id, encode(JobStatusEvent(event_id, job_id, status, message, 1, "worker-01", now + number))

    def _numbers(self, chance: random.Random) -> Iterator[int]:
        latest = 0
        for _ in range(self.events):
            if self.repeats is None:
                yield chance.randrange(self.jobs)
                continue
            if chance.random() >= self.repeats:
                latest += 1
                yield latest % self.jobs
            else:
                yield max(0, latest - chance.randrange(NEAR)) % self.jobs
