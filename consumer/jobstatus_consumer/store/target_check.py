"""What `check` finds about a target: missing rights, statements that cannot be prepared, and what is unusual."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from psycopg.rows import TupleRow

from jobstatus_consumer.errors import StoreError, TargetError
from jobstatus_consumer.store import json_params
from jobstatus_consumer.store.connection import Limits
from jobstatus_consumer.store.grants import usage_grant
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.problem import Problem
from jobstatus_consumer.store.projecting import ProjectingStore
from jobstatus_consumer.store.projection import Projection
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.session import Session
from jobstatus_consumer.store.target import Missing, Target
from jobstatus_consumer.store.target_catalog import read_shape, role_of
from jobstatus_consumer.store.target_rights import grant, rights_of

FILE: Final = "target_check.sql"
LIMITS: Final = Limits(statement=60.0)


def target_problems(url: str, table: str, target: Target) -> Iterator[Problem]:
    """What keeps a consumer from writing the target: missing rights, or a file that does not fit the database.

    Raises StoreError's kinds.
    """
    try:
        with looking_at(url, table, target) as look:
            missing = list(look.missing_rights())
    except TargetError as error:
        yield Problem(error.what, error.remedy)
        return
    yield from missing
    if not missing:
        yield from _unprepared(url, table, target)


def compare_problems(url: str, table: str, target: Target) -> list[Problem]:
    """What keeps a command from comparing the target with the states: rights to read it, or a file that does not fit.

    Raises StoreError's kinds.
    """
    try:
        with looking_at(url, table, target) as look:
            return list(look.unreadable())
    except TargetError as error:
        return [Problem(error.what, error.remedy)]


def _unprepared(url: str, table: str, target: Target) -> Iterator[Problem]:
    """What the server says of the statements, which the consumer's own store prepares."""
    store = ProjectingStore(url, table, target)
    try:
        store.connect()
    except TargetError as error:
        yield Problem(error.what, error.remedy)
    finally:
        store.close()


def target_remarks(url: str, table: str, target: Target) -> list[Problem]:
    """What is unusual about the target and keeps no consumer from working; none where `target_problems` names more."""
    try:
        with looking_at(url, table, target) as look:
            return list(look.remarks())
    except StoreError:
        return []


@contextmanager
def looking_at(url: str, table: str, target: Target) -> Iterator[TargetLook]:
    """A look at the target for the block. Raises TargetError if the file does not fit it, and StoreError's kinds."""
    with Session(url, LIMITS) as session:
        session.connect()
        role = role_of(session, target)
        _refuse_closed_schema(session, target, role)
        shape = read_shape(session, target, session.located(TableName.parse(table)))
        yield TargetLook(session, Projection(target, shape), role)


def _refuse_closed_schema(session: Session, target: Target, role: str) -> None:
    """The server answers no question about a table in a schema that the role may not use."""
    schema = target.table.schema or ""
    if (False,) in session.execute(block(FILE, "usage", target.table), {"schema": schema}):
        what = f"the role {role} may not use the schema {schema}"
        raise TargetError(what, usage_grant(schema, role))


class TargetLook:
    """The questions to one session about a target. Raises StoreError's kinds."""

    def __init__(self, session: Session, projection: Projection, role: str) -> None:
        self._session = session
        self.projection = projection
        self.role = role
        self._place = projection.shape.place

    def missing_rights(self) -> Iterator[Problem]:
        """The rights on columns that a consumer lacks, with the one statement that grants them."""
        yield from self._lacking(rights_of(self.projection.target, self.projection.shape).to_write)

    def unreadable(self) -> Iterator[Problem]:
        """The columns that this role may not read, and that a comparison reads, with the statement that grants it."""
        yield from self._lacking({"SELECT": rights_of(self.projection.target, self.projection.shape).readable})

    def remarks(self) -> Iterator[Problem]:
        """Rights that only other commands need; row-level security; triggers that may keep a row as it is."""
        compared = rights_of(self.projection.target, self.projection.shape).compared
        for item in self._lacking({"SELECT": compared}):
            yield Problem(f"{item.what}: verify, history and target sync need that, a consumer does not", item.remedy)
        if self._hides_rows():
            yield Problem(
                f"row-level security may hide rows of {self._place} from the role {self.role}",
                "a job whose row is hidden waits as if there were none; a policy must let the role see and change them",
            )
        for trigger, _ in self.triggers():
            yield Problem(
                f"the trigger {trigger} runs before each row of {self._place}",
                "a row that it keeps as it is (RETURN NULL) does not show its state: "
                'jobstatus_target_rows_total{outcome="held"} counts it; what it refuses becomes a dead letter',
            )

    def _hides_rows(self) -> bool:
        inserts = self.projection.target.missing is Missing.INSERT
        commands = ["r", "w", *(["a"] if inserts else [])]
        given = {"table": self._place.identifier.as_string(None), "commands": commands}
        return self._session.execute(block("admin.sql", "hides_rows", self._place), given) == [(True,)]

    def triggers(self) -> list[TupleRow]:
        """The triggers that run before a row is written, and whether each runs at an INSERT."""
        return self._ask("triggers")

    def constraints(self) -> list[TupleRow]:
        """The CHECK constraints: name, condition, and the columns that it is about."""
        return self._ask("constraints")

    def evaluated(self, query: bytes, words: Sequence[str]) -> list[TupleRow]:
        """The rows of a statement that evaluates something for each of these statuses."""
        return self._session.execute(query, {"words": json_params.texts(words)})

    def _lacking(self, rights: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
        wanted = [{"privilege": name, "name": column} for name, columns in rights.items() for column in columns]
        lacking: dict[str, list[str]] = {}
        for privilege, column in self._ask("lacking", rights=json_params.document(wanted)):
            lacking.setdefault(privilege, []).append(column)
        if lacking:
            named = ", ".join(f"{name} ({', '.join(columns)})" for name, columns in lacking.items())
            yield Problem(
                f"the role {self.role} has no {named} on {self._place}", grant(lacking, self._place, self.role)
            )

    def _ask(self, name: str, **given: object) -> list[TupleRow]:
        place = self._place.identifier.as_string(None)
        return self._session.execute(block(FILE, name, self._place), {"target": place, **given})
