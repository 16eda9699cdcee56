"""Records that can never become a row, of every kind, each marked with a header that says which kind it is.

The checker goes by the mark alone, so that it does not rely on the decoder that it checks.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from jobstatus_consumer.core.cut import LARGEST_KEPT
from jobstatus_schemas import JobStatusEvent, encode

MARK: Final = "chaos.poison"
REFUSED_STATUS: Final = "refused-by-check"
CONSTRAINT: Final = "chaos_refuses"
CHECK_OF_A_SHARED_JOB: Final = "CHECK violation of a job with other events"


class Record(NamedTuple):
    """What is handed to a producer."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


Maker = Callable[[JobStatusEvent, random.Random], tuple[bytes | None, bytes | None]]


def _keyed(event: JobStatusEvent) -> tuple[bytes, bytes]:
    return event.job_id.encode(), encode(event)


def _alone(event: JobStatusEvent, chance: random.Random) -> JobStatusEvent:
    """The event for a job that has no other."""
    return event._replace(job_id=f"alone-{chance.getrandbits(64):x}")


def _other_schema(event: JobStatusEvent, chance: random.Random) -> tuple[bytes, bytes]:
    key, value = _keyed(event)
    return key, value[:2] + chance.randbytes(8) + value[10:]


def _wrong_branch(event: JobStatusEvent) -> tuple[bytes, bytes]:
    """The index of a union is -1, which Python would take for the last branch."""
    key, value = _keyed(event._replace(status="branch", error_message=None))
    head, status, tail = value.rpartition(b"branch")
    return key, head + status + b"\x01" + tail[1:]


# the kind: how it is made, and the reason that its dead letter must give
KINDS: Final[Mapping[str, tuple[Maker, str]]] = {
    "NUL in job_id": (lambda event, _: _keyed(event._replace(job_id=event.job_id + "\x00")), "out_of_contract"),
    "CHECK violation": (
        lambda event, chance: _keyed(_alone(event, chance)._replace(status=REFUSED_STATUS)),
        "check_violation",
    ),
    CHECK_OF_A_SHARED_JOB: (lambda event, _: _keyed(event._replace(status=REFUSED_STATUS)), "check_violation"),
    "too long a status": (lambda event, _: _keyed(event._replace(status="s" * 65)), "out_of_contract"),
    "too long a job_id": (lambda event, _: _keyed(event._replace(job_id="j" * 513)), "out_of_contract"),
    "random bytes": (
        lambda event, chance: (event.job_id.encode(), b"\x01" + chance.randbytes(chance.randrange(1, 300))),
        "not_avro_single_object",
    ),
    "a schema registry's framing": (
        lambda event, chance: (event.job_id.encode(), bytes((0, chance.randrange(128))) + chance.randbytes(50)),
        "not_avro_single_object",
    ),
    "cut short": (lambda event, _: (event.job_id.encode(), encode(event)[:-3]), "malformed"),
    "a branch that there is not": (lambda event, _: _wrong_branch(event), "malformed"),
    "another schema": (_other_schema, "unknown_schema"),
    "tombstone": (lambda event, _: (event.job_id.encode(), None), "no_value"),
    "another key": (lambda event, _: (b"not-" + event.job_id.encode(), encode(event)), "key_is_not_job_id"),
    "no key": (lambda event, _: (None, encode(event)), "key_is_not_job_id"),
    # far more than the topic's limit, and so little once it is compressed
    "a gzip bomb": (lambda event, _: (event.job_id.encode(), bytes(LARGEST_KEPT + 1)), "too_large"),
    "trailing bytes": (lambda event, _: (event.job_id.encode(), encode(event) + b"x"), "trailing_bytes"),
}


HEAVY: Final = ("a gzip bomb",)
"""A broker expands each of them: they come in every second round."""


def poisoned(kind: str, event: JobStatusEvent, chance: random.Random) -> Record:
    """A record of this kind, made out of a good event."""
    key, value = KINDS[kind][0](event, chance)
    return Record(key, value, [("traceparent", b"00-1"), (MARK, kind.encode())])


def reason_of(kind: str) -> str:
    """The reason that the dead letter of this kind gives."""
    return KINDS[kind][1]
