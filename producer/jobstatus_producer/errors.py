"""Every exception that the producer raises on purpose, and what the caller should do.

    ProducerError
    ├── SettingsError (a ValueError)   a setting is wrong: the text names it and what is allowed
    ├── SpoolError                     the spool folder cannot be used: the text says why
    ├── ProducerClosedError            the producer is closed, or the process is at its end: nothing was queued
    └── EventsError                    carries the events in `events`
        ├── BufferFullError            not accepted: try again later, with `update_many(error.events)`
        ├── NotAcknowledgedError       accepted and still being tried, but not acknowledged in time
        ├── RefusedError               the broker refuses them for their content: trying again is no use
        └── UndeliveredError           given up at close: this exception alone still has them

A wrong argument raises none of these: it raises `ValueError` or `TypeError`, and the text begins with its name.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobstatus_schemas import JobStatusEvent


class ProducerError(Exception):
    """The base class. The text is meant for a person."""


class SettingsError(ProducerError, ValueError):
    """A setting is unknown or malformed, or it contradicts what the producer promises."""


class SpoolError(ProducerError):
    """The spool folder or a spool file cannot be used."""


class ProducerClosedError(ProducerError):
    """The producer is closed; the event was not queued."""


class EventsError(ProducerError):
    """Something happened to `events`, which are in the order in which they were reported."""

    def __init__(self, text: str, events: Sequence[JobStatusEvent]) -> None:
        super().__init__(f"{text}: {summary(events)}")
        self._text = text
        self.events = tuple(events)

    def __reduce__(self) -> tuple[type[EventsError], tuple[str, tuple[JobStatusEvent, ...]]]:
        # pools of processes pickle the exceptions of their workers
        return type(self), (self._text, self.events)


class BufferFullError(EventsError):
    """There was no room within the bound: these events were not accepted."""


class NotAcknowledgedError(EventsError):
    """The broker has not acknowledged these events in time. They are accepted and still being tried."""


class RefusedError(EventsError):
    """The broker refuses these events for their content."""


class UndeliveredError(EventsError):
    """The producer is closed, and these events are neither delivered nor spooled."""


def summary(events: Sequence[JobStatusEvent]) -> str:
    """How many they are, and the first three of them."""
    shown = ", ".join(f"{event.job_id!r} {event.status}" for event in events[:3])
    more = f" and {len(events) - 3} more" if len(events) > 3 else ""
    return f"{len(events)} event{'' if len(events) == 1 else 's'} ({shown}{more})"
