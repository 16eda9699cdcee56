"""Which rights on the target a role needs, column by column, and the statements that grant them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from psycopg import sql

from jobstatus_consumer.store.layout import managed_tables
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.privileges import WRITES
from jobstatus_consumer.store.target import Missing, Target
from jobstatus_consumer.store.target_catalog import TargetShape

_TEXT: Final = re.compile(r"'(?:[^']|'')*'")
_OF_EVENT: Final = re.compile(r'(?:\bevent|"event")\s*\.\s*(?:\w+|"[^"]*")', re.IGNORECASE)
_WHOLE_ROW: Final = re.compile(r'(?<![\w".])(?:job|"job")(?!["\w])(?!\s*\.\s*["\w])', re.IGNORECASE)


class Rights(NamedTuple):
    """Columns of the target by what is done with them."""

    read: tuple[str, ...]
    """what the consumer's statements read"""
    compared: tuple[str, ...]
    """what else verify, history and target sync read"""
    readable: tuple[str, ...]
    """what both read"""
    updated: tuple[str, ...]
    inserted: tuple[str, ...]

    @property
    def to_write(self) -> dict[str, tuple[str, ...]]:
        """By privilege, the columns that a consumer needs it for."""
        return {"SELECT": self.read, "INSERT": self.inserted, "UPDATE": self.updated}

    @property
    def all(self) -> dict[str, tuple[str, ...]]:
        """By privilege, the columns for a consumer and for every command."""
        return {**self.to_write, "SELECT": self.readable}


def rights_of(target: Target, shape: TargetShape) -> Rights:
    """The rights that the target file needs, in the order of the table's columns."""
    key, updated = ({item.column for item in items} for items in (target.key, target.assigned))
    named = columns_read([target.where, *(item.expression for item in target.assigned)], shape)
    read = key | named
    inserts = target.missing is Missing.INSERT
    groups = (read, updated - read, read | updated, updated, key | updated if inserts else set())
    return Rights(*(tuple(name for name in shape.columns if name in group) for group in groups))


def columns_read(expressions: Iterable[str], shape: TargetShape) -> set[str]:
    """The columns of the row that these expressions may read; all where one mentions the row as a whole."""
    found: set[str] = set()
    for expression in expressions:
        text = _OF_EVENT.sub("", _TEXT.sub("''", expression))
        if _WHOLE_ROW.search(text):
            return set(shape.columns)
        lowered = text.lower()
        found |= {
            name for name in shape.columns if f'"{name}"' in text or re.search(rf"\b{re.escape(name)}\b", lowered)
        }
    return found


def grant(rights: Mapping[str, Sequence[str]], table: TableName, role: str) -> str:
    """The GRANT of these rights on columns. At least one of them must have a column."""
    parts = [f"{name} ({_names(columns)})" for name, columns in rights.items() if columns]
    return _granted(", ".join(parts), [table], role)


def grants(target: Target, shape: TargetShape, role: str) -> list[str]:
    """Every GRANT that a consumer's role needs, on our tables and on the target."""
    by_rights: dict[tuple[str, ...], list[TableName]] = {}
    for (table, _), rights in zip(managed_tables(shape.state, with_waiting=True), WRITES, strict=True):
        by_rights.setdefault(rights, []).append(table)
    return [
        *(usage_grant(schema, role) for schema in _closed_schemas((shape.state, shape.place))),
        *(_granted(", ".join(rights), tables, role) for rights, tables in by_rights.items()),
        grant(rights_of(target, shape).all, shape.place, role),
    ]


def _closed_schemas(places: Iterable[TableName]) -> list[str]:
    """The schemas of these tables that are not open to everybody."""
    return sorted({place.schema for place in places if place.schema is not None} - {"public"})


def usage_grant(schema: str, role: str) -> str:
    """The GRANT that lets the role use the schema."""
    return f"GRANT USAGE ON SCHEMA {_names([schema])} TO {_names([role])}"


def _granted(rights: str, tables: Sequence[TableName], role: str) -> str:
    named = ", ".join(table.identifier.as_string(None) for table in tables)
    return f"GRANT {rights} ON {named} TO {_names([role])}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(sql.Identifier(name).as_string(None) for name in names)
