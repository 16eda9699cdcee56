"""Errors are for people and carry the events."""

from __future__ import annotations

import pickle

from jobstatus_producer.errors import BufferFullError, EventsError
from jobstatus_schemas import JobStatusEvent

EVENTS = [JobStatusEvent(str(n), f"job-{n}", "ok", "secret text", None, None, n) for n in range(5)]


def test_an_error_carries_its_events_and_names_the_first_of_them() -> None:
    error = BufferFullError("not accepted", EVENTS)
    assert error.events == tuple(EVENTS)
    assert str(error) == "not accepted: 5 events ('job-0' ok, 'job-1' ok, 'job-2' ok and 2 more)"


def test_an_error_crosses_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(BufferFullError("not accepted", EVENTS[:1])))  # noqa: S301
    assert isinstance(error, EventsError)
    assert error.events == tuple(EVENTS[:1])
    assert str(error) == "not accepted: 1 event ('job-0' ok)"
