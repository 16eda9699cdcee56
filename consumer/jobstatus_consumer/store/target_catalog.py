"""What the catalog says of a target: its place, its columns and its triggers, read once for each connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from psycopg.rows import TupleRow

from jobstatus_consumer.errors import TargetError
from jobstatus_consumer.store.hidden import hidden_in
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.session import Session
from jobstatus_consumer.store.target import Missing, Target

KINDS: Final = ("r", "p", "v")
"""A table, a partitioned table, a view."""
CORRECT_THE_FILE: Final = "Correct the file or the table, then: jobstatus check"


class TargetColumn(NamedTuple):
    """A column of the target."""

    name: str
    type: str
    """as a cast names it, without a length"""
    is_string: bool
    """a cast to it may cut the value without an error, and an assignment refuses it"""
    is_domain: bool
    spelling: str | None
    """where texts that differ, such as `7` and `007`, may be one value: the SQL of its one spelling, with %s for it"""
    generated: bool
    full_type: str
    """with a length"""
    not_null: bool
    has_default: bool
    most: int | None
    """how many characters fit"""
    comparable: bool
    """whether its type has an `=`"""

    @property
    def must_be_filled(self) -> bool:
        """Whether a new row must have a value for it."""
        return self.not_null and not self.has_default and not self.generated


@dataclass(frozen=True, slots=True)
class TargetShape:
    """The target as the database has it."""

    place: TableName
    """with its schema"""
    state: TableName
    """the managed table's place, with its schema"""
    columns: Mapping[str, TargetColumn]
    has_update_triggers: bool


def wrong_target(target: Target, what: str, remedy: str = CORRECT_THE_FILE) -> TargetError:
    """The error of a target file that does not fit the database."""
    return TargetError(f"the target file {target.path}: {what}", remedy)


def read_shape(session: Session, target: Target, state: TableName) -> TargetShape:
    """Find the target, and see that its columns can be written.

    `state` is the place of the managed table. Raises DeploymentError, which names the file, and StoreError's kinds.
    """
    place = refuse_same(session, target, state)
    ((schema, name, kind, _, our_schema, has_update_triggers),) = _ask(session, "relation", place, state)
    if our_schema is None:
        raise wrong_target(
            target, f"it needs the table {state.waiting}, and there is none", "Make it: jobstatus migrate"
        )
    if kind not in KINDS:
        raise wrong_target(target, f"{target.table} is neither a table nor a view")
    columns = columns_of(session, place)
    unique = [set(names) for (names,) in _ask(session, "unique", place, state)]
    if problems := _problems(target, columns, unique if kind != "v" else None):
        raise wrong_target(target, "; ".join(problems))
    return TargetShape(TableName(schema, name), state.within(our_schema), columns, has_update_triggers)


def role_of(session: Session, target: Target) -> str:
    """The role of this session."""
    ((role,),) = session.execute(block("target_check.sql", "role", target.table), {})
    return str(role)


def columns_of(session: Session, place: TableName) -> dict[str, TargetColumn]:
    """The columns of a table by name, in its order; none if there is no such table."""
    return {row[0]: TargetColumn(*row) for row in _ask(session, "columns", place, place)}


def refuse_same(session: Session, target: Target, state: TableName) -> TableName:
    """The target's place. Raises TargetError if there is no such table, or if it is one of ours."""
    place = session.located(target.table)
    found = _ask(session, "relation", place, state)
    if not found:
        raise wrong_target(target, f"there is no table {target.table}{hidden_in(session, target.table)}")
    ((_, name, _, is_ours, *_),) = found
    if is_ours or place == state:
        raise wrong_target(
            target,
            f"its table {target.table} is the managed table {state} or one beside it, and the state needs a table of "
            "its own",
            f"Set JOBSTATUS_TABLE to another name, such as {name}_status, then: jobstatus migrate",
        )
    return place


def _problems(target: Target, columns: Mapping[str, TargetColumn], unique: list[set[str]] | None) -> list[str]:
    """What keeps the target from being written. `unique` is None for a view, which has no indexes."""
    mapped = (("key", target.key), ("set", target.assigned))
    found = [
        f"{part}.{item.column}: {target.table} has no column {item.column}"
        for part, items in mapped
        for item in items
        if item.column not in columns
    ]
    found += [
        f"set.{item.column}: the server alone writes this column (it is generated)"
        for item in target.assigned
        if item.column in columns and columns[item.column].generated
    ]
    if target.missing is Missing.INSERT:
        found += [
            f'key.{item.column}: the server alone writes this column, so missing = "insert" cannot make rows'
            for item in target.key
            if item.column in columns and columns[item.column].generated
        ]
    key = {item.column for item in target.key}
    if not found and unique is not None and not any(names <= key for names in unique):
        found.append(
            f"key: {target.table} has no unique index on {', '.join(sorted(key))}, so a job could have several rows"
        )
    if not found and target.missing is Missing.INSERT and unique is not None and key not in unique:
        found.append(f'missing = "insert" needs a unique index on exactly {", ".join(sorted(key))}')
    return found


def _ask(session: Session, name: str, place: TableName, state: TableName) -> list[TupleRow]:
    names = {
        "target": place.identifier.as_string(None),
        "table": state.identifier.as_string(None),
        "progress": state.progress.identifier.as_string(None),
        "waiting": state.waiting.identifier.as_string(None),
    }
    return session.execute(block("target.sql", name, place), names)
