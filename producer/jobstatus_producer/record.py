"""The two forms of an event inside the producer: checked, then stamped and encoded.

`CheckedUpdate` is what a call has checked; it has no time yet, because its place in the order is decided when it is
accepted. `Record` is the accepted event. It stays the same in memory, in the spool and at the Kafka client.
"""

from __future__ import annotations

import os
from random import Random
from typing import Final, NamedTuple

from jobstatus_schemas import Codec, JobStatusEvent
from jobstatus_schemas.protocol import LATE_AFTER_SECONDS

_LATE_AFTER_MICROS: Final = round(LATE_AFTER_SECONDS * 1_000_000)


class Record(NamedTuple):
    """An accepted event, encoded. `seq` is its `occurred_at` in microseconds: unique in its process, and rising."""

    seq: int
    key: bytes
    value: bytes
    traceparent: str | None

    def event(self, codec: Codec) -> JobStatusEvent:
        """The event in `value`, which `codec` has encoded; errors carry it."""
        return codec.decode(self.value)

    def is_late(self, now_micros: int) -> bool:
        """Whether the record, sent at `now_micros`, is marked as late: it is older than 5 s, or from the future.

        A time in the future means that the clock cannot be trusted. The late mark is then the safe choice: a late
        event never replaces newer news.
        """
        return not 0 <= now_micros - self.seq <= _LATE_AFTER_MICROS


class CheckedUpdate(NamedTuple):
    """An update whose fields are checked and which was not accepted yet."""

    job_id: str
    status: str
    error_message: str | None
    attempt: int | None
    worker_id: str | None
    traceparent: str | None
    event_id: str

    def stamped(self, seq: int, codec: Codec) -> Record:
        """The record of this update, with the time `seq`, encoded by `codec`."""
        job_id, status, error_message, attempt, worker_id, traceparent, event_id = self
        event = JobStatusEvent(event_id, job_id, status, error_message, attempt, worker_id, seq)
        return Record(seq, job_id.encode(), codec.encode(event), traceparent)


_RANDOM: Final = Random()  # noqa: S311 - ids must be unique, and nothing depends on whether they can be guessed
"""Not `random`'s own: an application that seeds that one would repeat ids. And not `os.urandom`: it lets go of the
interpreter, so with many threads each call would wait for its turn twice."""
os.register_at_fork(after_in_child=_RANDOM.seed)


def new_event_id() -> str:
    """A random UUID, version 4. It takes a third of the time of `str(uuid.uuid4())`."""
    digits = f"{_RANDOM.getrandbits(128):032x}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
