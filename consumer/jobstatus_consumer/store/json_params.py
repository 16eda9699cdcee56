"""The parameters of a statement as JSON documents made by orjson, which cost the client a tenth of what lists do.

A value that no JSON text in UTF-8 can hold (a lone surrogate, an integer over 64 bits) raises `TypeError` here,
before anything is sent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

import orjson
from jobstatus_schemas.event import JobStatusEvent
from psycopg import Connection, postgres
from psycopg.abc import Buffer
from psycopg.adapt import Dumper

from jobstatus_consumer.records import Event, LogRange

COLUMNS: Final = (*JobStatusEvent._fields, "time", "log_id", "offset")
"""What is sent of an event: every field that was reported, and its time and position for the guard."""


class JsonText(bytes):
    """A finished document for a parameter of type `json`."""


class JsonbText(bytes):
    """A finished document for a parameter of type `jsonb`."""


class _JsonTextDumper(Dumper):
    oid = postgres.types["json"].oid

    def dump(self, obj: JsonText) -> Buffer | None:
        return obj


class _JsonbTextDumper(_JsonTextDumper):
    oid = postgres.types["jsonb"].oid


def register(connection: Connection) -> None:
    """Teach the connection our two parameter types."""
    connection.adapters.register_dumper(JsonText, _JsonTextDumper)
    connection.adapters.register_dumper(JsonbText, _JsonbTextDumper)


def columns(events: Sequence[Event]) -> dict[str, JsonText]:
    """The rows of one statement: for each column one list, under the name of the event's field."""
    if not events:
        return _NO_ROWS
    contents, times, _, log_ids, offsets, _ = zip(*events, strict=True)
    reported = zip(JobStatusEvent._fields, zip(*contents, strict=True), strict=True)
    found = dict(reported, time=times, log_id=log_ids, offset=offsets)
    return {name: JsonText(orjson.dumps(values)) for name, values in found.items()}


_NO_ROWS: Final = {name: JsonText(b"[]") for name in COLUMNS}
_NOTHING_LATE: Final = JsonbText(b"{}")


def late(events: Sequence[Event]) -> JsonbText:
    """The jobs whose event is late, as the keys of an object."""
    jobs = {event.job_id: 1 for event in events if event.late}
    return JsonbText(orjson.dumps(jobs)) if jobs else _NOTHING_LATE


def logs(spans: Iterable[LogRange], known: Collection[str]) -> JsonText:
    """The logs that a batch covers; `known`: the ids of those whose progress this session has seen."""
    return JsonText(
        orjson.dumps([{"l": log, "b": start, "n": end, "k": log in known} for _, _, log, start, end in spans])
    )


def strings(values: Iterable[str]) -> JsonText:
    """A list of strings."""
    return JsonText(orjson.dumps(list(values)))
