"""The parameters of a statement as JSON documents made by orjson, which cost the client a tenth of what lists cost.

A value that JSON in UTF-8 cannot hold (a lone surrogate, an integer over 64 bits) raises BadRowError here, before
anything is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import orjson
from jobstatus_schemas.event import JobStatusEvent
from psycopg import Connection, postgres
from psycopg.abc import Buffer
from psycopg.adapt import Dumper

from jobstatus_consumer.records import NO_EPOCH, Event, LogRange
from jobstatus_consumer.store.layout import MANAGED, Row
from jobstatus_consumer.store.sqlstate import classify

_EVENT_FIELDS: Final = (*Event._fields, *JobStatusEvent._fields)
_SENT: Final = {column.name: _EVENT_FIELDS.index(column.event or column.name) for column in MANAGED.sent}
"""by column: the place among `_EVENT_FIELDS` of the field that is sent for it"""
_CONTENT: Final = Event._fields.index("content")
_is_late: Final[Callable[[Event], bool]] = attrgetter("late")


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


def document(value: Any) -> JsonText:
    """Any value as one document."""
    return JsonText(_encoded(value))


def of_events(events: Sequence[Event]) -> dict[str, bytes]:
    """What the statement needs of its events: the column lists, and which jobs are late."""
    return {**column_lists(events), "late_jobs": late_jobs(events)}


def column_lists(events: Sequence[Event]) -> dict[str, JsonText]:
    """The rows of one statement: for each column one list, under the column's name."""
    if not events:
        return _NO_ROWS
    fields = (*zip(*events, strict=True),)
    values = (*fields, *zip(*fields[_CONTENT], strict=True))
    return {name: JsonText(_encoded(values[place])) for name, place in _SENT.items()}


def row_lists(rows: Mapping[str, Row]) -> dict[str, JsonText]:
    """Rows by job: for each column one list, under the column's name."""
    values = zip(*rows.values(), strict=True)
    lists = {column.name: document(items) for column, items in zip(MANAGED.of_row, values, strict=True)}
    return {MANAGED.key: texts(rows), **lists}


_NO_ROWS: Final = dict.fromkeys(_SENT, JsonText(b"[]"))
_NOTHING_LATE: Final = JsonbText(b"{}")


def late_jobs(events: Sequence[Event]) -> JsonbText:
    """The jobs whose event is late, as the keys of an object."""
    if not any(map(_is_late, events)):
        return _NOTHING_LATE
    return JsonbText(_encoded({event.job_id: 1 for event in events if event.late}))


def log_ranges(ranges: Iterable[LogRange], seen: Collection[str]) -> JsonText:
    """The logs that a batch covers; `seen` holds the ids of those whose progress this session has seen."""
    return document(
        [
            {"l": log, "b": start, "n": end, "e": None if epoch == NO_EPOCH else epoch, "k": log in seen}
            for _, _, log, start, end, epoch in ranges
        ]
    )


def next_offsets(offsets: Mapping[str, int]) -> JsonText:
    """The next offset of each log."""
    return document([{"l": log, "n": offset} for log, offset in offsets.items()])


def texts(values: Iterable[str]) -> JsonText:
    """A list of texts."""
    return document(list(values))


def _encoded(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise classify(error) from None
