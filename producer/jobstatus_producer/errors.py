"""Everything the producer raises on purpose, and what its caller should do.

    ProducerError
    ├── SettingsError (a ValueError)   wrong usage: the text names the setting and what is allowed
    ├── SpoolError                     the spool folder cannot be used: the text says why
    ├── ProducerClosedError            a call after close(), or at the end of the process: nothing was queued
    └── EventsError                    carries the events it speaks of in `events`
        ├── BufferFullError            not accepted: give them again later, `update_many(error.events)`
        ├── NotAcknowledgedError       accepted and still being tried, but not acknowledged in time
        ├── RefusedError               the broker refuses them for their own content: trying again is no use
        └── UndeliveredError           given up at close: nobody has them but you

A wrong argument is none of these: it is a `ValueError` or `TypeError` that names the field.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobstatus_schemas import JobStatusEvent


class ProducerError(Exception):
    """The root; its text is meant for a person."""


class SettingsError(ProducerError, ValueError):
    """A setting is unknown, malformed, or contradicts what the producer promises."""


class SpoolError(ProducerError):
    """The spool's folder or file cannot be used."""


class ProducerClosedError(ProducerError):
    """The producer is closed; the event was not queued."""


class EventsError(ProducerError):
    """What happened to `events`, oldest first."""

    def __init__(self, text: str, events: Sequence[JobStatusEvent]) -> None:
        super().__init__(f"{text}: {summary(events)}")
        self._text = text
        self.events = tuple(events)

    def __reduce__(self) -> tuple[type[EventsError], tuple[str, tuple[JobStatusEvent, ...]]]:
        # a worker pool hands exceptions from process to process
        return type(self), (self._text, self.events)


class BufferFullError(EventsError):
    """No room within the bound: these events were not accepted."""


class NotAcknowledgedError(EventsError):
    """These events were accepted and are still being tried; the broker has not acknowledged them in time."""


class RefusedError(EventsError):
    """The broker refuses these events for what they are."""


class UndeliveredError(EventsError):
    """The producer is gone and these events were neither delivered nor spooled."""


def summary(events: Sequence[JobStatusEvent]) -> str:
    """How many they are, and the first of them."""
    shown = ", ".join(f"{event.job_id!r} {event.status}" for event in events[:3])
    more = f" and {len(events) - 3} more" if len(events) > 3 else ""
    return f"{len(events)} event{'' if len(events) == 1 else 's'} ({shown}{more})"
