"""The shape of our tables. Everything that depends on a column is made from the layout here.

The SQL's column lists, the parameters of a statement, CREATE TABLE, COPY, what `check` expects of a table, and what
`verify` compares come from it. A new field of the event is one line in `MANAGED` and one in `Row`.

What the guard does with attempt, time and position is not here. It is the rule, and stands in `write.sql`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cached_property
from operator import attrgetter
from typing import Any, Final, NamedTuple

from jobstatus_schemas.event import JobStatusEvent

from jobstatus_consumer.core import RowState
from jobstatus_consumer.store.names import TableName

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _unchanged(value: Any) -> Any:
    return value


def _time(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


@dataclass(frozen=True, slots=True)
class SqlType:
    """A type of a column, and how its values come into PostgreSQL and out again. In Python a time is an `int`."""

    name: str
    json: str
    """the type as which a JSON parameter carries the value"""
    made: str = "{0}"
    """the expression that makes the column's value from a value of type `json`"""
    read: str = "{0}"
    """the expression that reads the column back"""
    catalog: str = ""
    """the name in the server's catalog, where it is another one"""
    copied: Callable[[Any], Any] | None = None
    """makes the value for COPY; None where it is copied as it is"""
    shown: Callable[[Any], Any] = _unchanged
    """an event's value as the column shows it when it is read back"""


TEXT: Final = SqlType("text", json="text")
INTEGER: Final = SqlType("integer", json="integer")
BIGINT: Final = SqlType("bigint", json="bigint")
UUID: Final = SqlType("uuid", json="uuid", read="{0}::text", shown=str.lower)
TIME: Final = SqlType(
    "timestamptz",
    json="bigint",
    made="timestamptz 'epoch' + {0} * interval '1 microsecond'",
    # Only another program writes an infinite time. It is read as the guard treats it: the highest number, or none.
    read=(
        "CASE WHEN isfinite({0}) THEN (extract(epoch FROM {0}) * 1000000)::bigint\n"
        "  WHEN {0} > 'epoch' THEN 9223372036854775807 END"
    ),
    catalog="timestamp with time zone",
    copied=_time,
)
"""A time: microseconds since 1970-01-01 UTC in the event, in a parameter, and when it is read back."""

NUMBER: Final = SqlType("bigint GENERATED ALWAYS AS IDENTITY", json="bigint", catalog="bigint")
"""A number that the server gives."""
DOCUMENT: Final = SqlType("jsonb", json="jsonb")


class Role(Enum):
    """What a column is for."""

    KEY = "the primary key"
    CONTENT = "what the event says; the row shows the event at its position"
    ORDER = "what the rule compares: attempt, time and position"
    BOOKKEEPING = "for people; nothing reads it back"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    name: str
    type: SqlType
    role: Role
    event: str | None = None
    """the field of `JobStatusEvent`, or of `Event`, that it comes from, where that has another name"""
    not_null: bool = False
    added: bool = False
    """whether `migrate` adds it to a table of an earlier version"""

    @property
    def definition(self) -> str:
        """The column in CREATE TABLE."""
        constraint = " PRIMARY KEY" if self.role is Role.KEY else " NOT NULL" if self.not_null else ""
        return f"{self.name} {self.type.name}{constraint}"

    @property
    def sent(self) -> bool:
        """Whether its value is sent with the event; the server fills in the others."""
        return self.role is not Role.BOOKKEEPING

    def made_from(self, value: str, *, cast: bool = False) -> str:
        """The expression for its value from the JSON value `value`; `cast` where that is a text."""
        if not self.sent:
            return "now()"
        return self.type.made.format(f"{value}::{self.type.json}" if cast and self.type.json != "text" else value)

    def read_from(self, table: str) -> str:
        """The expression that reads it back."""
        return self.type.read.format(f"{table}.{self.name}")


@dataclass(frozen=True)
class TableLayout:
    """A table's columns, in the table's order. `fillfactor` is the percentage of a page that new rows may fill."""

    columns: tuple[Column, ...]
    fillfactor: int = 70

    def of(self, role: Role) -> tuple[Column, ...]:
        """The columns that have this role."""
        return tuple(column for column in self.columns if column.role is role)

    @property
    def sent(self) -> tuple[Column, ...]:
        """The columns whose values are sent with an event."""
        return tuple(column for column in self.columns if column.sent)

    @property
    def of_row(self) -> tuple[Column, ...]:
        """The columns of a `Row`, in its order: what the rule compares, then the content."""
        return self.of(Role.ORDER) + self.of(Role.CONTENT)

    @property
    def key(self) -> str:
        """The name of the primary key."""
        (column,) = self.of(Role.KEY)
        return column.name

    @property
    def catalog_types(self) -> Mapping[str, str]:
        """By column: its type as the server's catalog names it."""
        return {column.name: column.type.catalog or column.type.name for column in self.columns}

    @cached_property
    def lists(self) -> Mapping[str, Sequence[str]]:
        """What the placeholders of the `.sql` files stand for, by name.

        In the SQL `t` is the table, `n` a new row from a parameter, and `excluded` the row that met an older one.
        """
        content, order = self.of(Role.CONTENT), self.of(Role.ORDER)
        return {
            "content": _names(content),
            "content_of_new": [f"n.{column.name}" for column in content],
            "definitions": [column.definition for column in self.columns],
            "additions": [f"ADD COLUMN {column.definition}" for column in self.columns],
            "sent": _names(self.sent),
            "json_lists": [f"json_array_elements_text(%({column.name})s)" for column in self.sent],
            "made": [f"{column.made_from(column.name, cast=True)} AS {column.name}" for column in self.sent],
            "sent_of_table": [f"t.{column.name}" for column in self.sent],
            "sent_of_new": [column.made_from(f"n.{column.name}", cast=True) for column in self.sent],
            "content_from_excluded": [f"{column.name} = excluded.{column.name}" for column in content],
            "record": [f"{column.name} {column.type.json}" for column in self.sent],
            "content_from_record": [f"{column.name} = {column.made_from(f'n.{column.name}')}" for column in content],
            "state": [column.read_from("t") for column in order],
            "row": [column.read_from("t") for column in self.of_row],
            "row_columns": _names(self.of_row),
            "fillfactor": [str(self.fillfactor)],
        }


def _names(columns: Iterable[Column]) -> list[str]:
    return [column.name for column in columns]


MANAGED: Final = TableLayout(
    (
        Column("job_id", TEXT, Role.KEY),
        Column("status", TEXT, Role.CONTENT),
        Column("error_message", TEXT, Role.CONTENT),
        Column("attempt", INTEGER, Role.ORDER),
        Column("worker_id", TEXT, Role.CONTENT),
        Column("occurred_at", TIME, Role.CONTENT),
        Column("event_id", UUID, Role.CONTENT),
        Column("latest_occurred_at", TIME, Role.ORDER, event="time"),
        Column("log_id", TEXT, Role.ORDER),
        Column("log_offset", BIGINT, Role.ORDER, event="offset"),
        Column("updated_at", TIME, Role.BOOKKEEPING),
    )
)
"""The managed table: one row a job."""

PROGRESS: Final = TableLayout(
    (
        Column("log_id", TEXT, Role.KEY),
        Column("next_offset", BIGINT, Role.ORDER, not_null=True),
        Column("leader_epoch", INTEGER, Role.ORDER, added=True),
        Column("first_offset", BIGINT, Role.BOOKKEEPING, added=True),
        Column("updated_at", TIME, Role.BOOKKEEPING, not_null=True),
    )
)
"""The progress table: for each log the next offset that the database needs, with the leader epoch of the record before
it; and the first offset that was written."""


PURGED: Final = TableLayout(
    (*MANAGED.of(Role.KEY), *MANAGED.of(Role.ORDER), Column("purged_at", TIME, Role.BOOKKEEPING, not_null=True)),
    fillfactor=100,
)
"""The table of purged jobs: of each row that `purge` has removed, what the rule compares. It counts while the job has
no row."""


WAITING: Final = TableLayout(
    (
        Column("job_id", TEXT, Role.KEY),
        Column("since", TIME, Role.BOOKKEEPING, not_null=True),
        Column("next_try", TIME, Role.BOOKKEEPING, not_null=True),
        Column("tries", INTEGER, Role.BOOKKEEPING, not_null=True),
        Column("reason", TEXT, Role.BOOKKEEPING, not_null=True),
    )
)
"""The table of waiting jobs, beside a target: those whose row in the target does not show their state yet. `reason` is
`no row`, `locked`, `changed`, or the error with which the row was refused; `tries` counts the refusals."""


AUDIT: Final = TableLayout(
    (
        Column("id", NUMBER, Role.KEY),
        Column("at", TIME, Role.BOOKKEEPING, not_null=True),
        Column("actor", TEXT, Role.BOOKKEEPING, not_null=True),
        Column("action", TEXT, Role.BOOKKEEPING, not_null=True),
        Column("plan", DOCUMENT, Role.BOOKKEEPING, not_null=True),
        Column("finished_at", TIME, Role.BOOKKEEPING),
        Column("outcome", TEXT, Role.BOOKKEEPING),
        Column("result", DOCUMENT, Role.BOOKKEEPING),
    )
)
"""The audit log: what operators have changed. A consumer needs no right on it."""


def managed_tables(name: TableName, *, with_waiting: bool = False) -> tuple[tuple[TableName, TableLayout], ...]:
    """The tables that a consumer needs, by name and shape: the managed table, then those beside it."""
    waiting = ((name.waiting, WAITING),) if with_waiting else ()
    return (name, MANAGED), (name.progress, PROGRESS), (name.purged, PURGED), *waiting


def made_tables(name: TableName, *, with_waiting: bool = False) -> tuple[tuple[TableName, TableLayout], ...]:
    """The tables that `migrate` makes: those that a consumer needs, and the audit log."""
    return *managed_tables(name, with_waiting=with_waiting), (name.audit, AUDIT)


CONTENT: Final = tuple(_names(MANAGED.of(Role.CONTENT)))
"""The columns that say what the event at the row's position says."""
_content = attrgetter(*CONTENT)
_shown = [column.type.shown for column in MANAGED.of(Role.CONTENT)]


State = tuple[int | None, int | None, str | None, int | None]
"""The values of a `RowState`: a plain tuple of them is quicker to make, and tens of thousands a second are made."""


class Row(NamedTuple):
    """The values of `MANAGED.of_row`; times are in microseconds. Another program's row may lack any of them."""

    attempt: int | None = None
    latest: int | None = None
    log_id: str | None = None
    log_offset: int | None = None
    status: str | None = None
    error_message: str | None = None
    worker_id: str | None = None
    occurred_at: int | None = None
    event_id: str | None = None

    @classmethod
    def made(cls, state: State, event: JobStatusEvent) -> Row:
        """The row that shows `event` and has this state for the order."""
        return cls._make((*state, *_content(event)))

    @property
    def state(self) -> RowState:
        """What the rule compares."""
        return RowState(self.attempt, self.latest, self.log_id, self.log_offset)

    @property
    def content(self) -> tuple[Any, ...]:
        """The values of the columns `CONTENT`."""
        return _content(self)


def content_of(event: JobStatusEvent) -> tuple[Any, ...]:
    """The values of the columns `CONTENT` of a row that shows this event, as they are read back."""
    return tuple(shown(value) for shown, value in zip(_shown, _content(event), strict=True))
