"""A table as its catalog describes it, for a first version of a target file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from psycopg.rows import TupleRow

from jobstatus_consumer.errors import StartError
from jobstatus_consumer.store.connection import Limits
from jobstatus_consumer.store.hidden import hidden_in
from jobstatus_consumer.store.names import LONGEST_IDENTIFIER, TableName
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.session import Session

FILE: Final = "drafting.sql"
LIMITS: Final = Limits(statement=60.0)
KINDS: Final = ("r", "p", "v")
_QUOTED: Final = re.compile(r"'((?:[^']|'')*)'::")


class DraftColumn(NamedTuple):
    """A column of the user's table."""

    name: str
    type: str
    """with its length"""
    base: str
    """the type's name in the catalog; that of the base type, for a domain"""
    category: str
    """S text, N number, D time, B boolean, E enum, and others"""
    words: Sequence[str]
    """of an enum, or of a CHECK constraint on this column"""
    most: int | None
    not_null: bool
    has_default: bool
    generated: bool


@dataclass(frozen=True, slots=True)
class DraftTable:
    """What the catalog says of the user's table."""

    name: TableName
    is_view: bool
    columns: Sequence[DraftColumn]
    unique: Sequence[tuple[str, ...]] = ()
    """the columns of each unique index, those of the primary key first"""
    triggers: Sequence[str] = field(default_factory=tuple)
    """those that run before each row is updated"""


def described(url: str, table: str) -> DraftTable:
    """The table, as its catalog describes it. Blocks for the answers.

    Raises SettingsError for a name that is none, StartError if there is no such table, and StoreError's kinds.
    """
    name = TableName.parse(table, LONGEST_IDENTIFIER)
    with Session(url, LIMITS) as session:
        session.connect()
        place = session.located(name)
        kind = next((str(kind) for kind, _ in _ask(session, "kind", place)), "")
        if kind not in KINDS:
            what = (
                f"{table} is neither a table nor a view"
                if kind
                else f"there is no table {table} in this database{hidden_in(session, name)}"
            )
            raise StartError(f"{what}. Nothing was written. Give it as name or schema.name")
        words = _checked_words(_ask(session, "checks", place))
        columns = [DraftColumn(*row) for row in _ask(session, "columns", place)]
        columns = [item if item.words else item._replace(words=words.get(item.name, ())) for item in columns]
        unique = [tuple(names) for (names,) in _ask(session, "unique", place)]
        triggers = [str(trigger) for (trigger,) in _ask(session, "triggers", place)]
    return DraftTable(name, kind == "v", columns, unique, triggers)


def _checked_words(checks: Sequence[TupleRow]) -> Mapping[str, tuple[str, ...]]:
    """By column, the texts that its CHECK constraint names, if it compares with texts alone."""
    found: dict[str, tuple[str, ...]] = {}
    for column, definition in checks:
        words = tuple(word.replace("''", "'") for word in _QUOTED.findall(definition))
        if words and re.search(r"= ANY|=\s*'", definition):
            found[column] = words
    return found


def _ask(session: Session, name: str, place: TableName) -> list[TupleRow]:
    return session.execute(block(FILE, name, place), {"table": place.identifier.as_string(None)})
