"""Which rights on the target a role needs, column by column, and the statements that grant them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from jobstatus_consumer.store.grants import PUBLIC, granted, quoted, table_grants, usage_grant
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.privileges import ROLES, Role
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
    parts = [f"{name} ({quoted(columns)})" for name, columns in rights.items() if columns]
    return granted(", ".join(parts), [table], role)


def grants(target: Target, shape: TargetShape, role: str, wanted: Role = ROLES["consumer"]) -> list[str]:
    """Every GRANT that such a role needs on our tables and on the target, by default a consumer's."""
    return [
        *(usage_grant(schema, role) for schema in _closed_schemas((shape.state, shape.place))),
        *table_grants(wanted, shape.state, role, with_waiting=True),
        *on_target(target, shape, role, wanted),
    ]


def on_target(target: Target, shape: TargetShape, role: str, wanted: Role) -> list[str]:
    """The GRANT that such a role needs on the target; none for a role that does not look at it."""
    rights = rights_of(target, shape)
    if wanted.writes_target:
        return [grant(rights.all, shape.place, role)]
    return [grant({"SELECT": rights.readable}, shape.place, role)] if wanted.reads_target else []


def _closed_schemas(places: Iterable[TableName]) -> list[str]:
    """The schemas of these tables that are not open to everybody."""
    return sorted({place.schema for place in places if place.schema is not None} - {PUBLIC})
