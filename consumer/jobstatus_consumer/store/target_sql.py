"""The statements that write a target, as PostgreSQL itself accepts them, and the rights that they need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from jobstatus_consumer.store.comparing import TargetTable
from jobstatus_consumer.store.connection import Limits
from jobstatus_consumer.store.grants import usage_grant
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.privileges import Role
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.raw_query import RawQuery
from jobstatus_consumer.store.session import Session
from jobstatus_consumer.store.target import Target
from jobstatus_consumer.store.target_catalog import TargetShape, columns_of, refuse_same, role_of
from jobstatus_consumer.store.target_rights import grants, on_target

_JSONB: Final = ("late_jobs",)
"""The parameters of type jsonb; the others are of type json."""


@dataclass(frozen=True, slots=True)
class TargetSql:
    """The statements of one target and one managed table."""

    write: str
    """what a consumer sends for a batch"""
    settle: str
    """what a consumer sends for jobs that wait"""
    grants: list[str]
    """what the consumer's role needs, on our tables and on the target"""


def target_sql(url: str, table: str, target: Target, role: str = "") -> TargetSql:
    """The statements, and the grants for `role`, or for the role of the connection. Blocks for the answers.

    Raises TargetError if the file does not fit the database, and StoreError's kinds.
    """
    with TargetTable(url, table, target) as found:
        found.connect()
        projection, role = found.projection, role or role_of(found, target)
    return TargetSql(
        _prepared("jobstatus_write", projection.write()),
        _prepared("jobstatus_settle", projection.statement("settle")),
        grants(target, projection.shape, role),
    )


def target_grants(url: str, table: str, target: Target, role: str = "") -> list[str]:
    """The grants alone, also before `migrate` has made our tables. Blocks and raises as `target_sql` does."""
    shape, role = _shape_and_role(url, table, target, role)
    return grants(target, shape, role)


def _shape_and_role(url: str, table: str, target: Target, role: str) -> tuple[TargetShape, str]:
    """What the catalog says of the target, and the role: the given one, or that of the connection."""
    with Session(url, Limits(statement=60.0)) as session:
        session.connect()
        state = session.located(TableName.parse(table))
        place = refuse_same(session, target, state)
        state, place = (_with_schema(session, name) for name in (state, place))
        shape = TargetShape(place, state, columns_of(session, place), has_update_triggers=False)
        return shape, role or role_of(session, target)


def grants_on_target(url: str, table: str, target: Target, wanted: Role, role: str) -> list[str]:
    """The GRANTs that such a role needs on the target and its schema. Blocks and raises as `target_sql` does."""
    if not (wanted.reads_target or wanted.writes_target):
        return []
    shape, _ = _shape_and_role(url, table, target, role)
    schema = shape.place.schema
    return [*([usage_grant(schema, role)] if schema else []), *on_target(target, shape, role, wanted)]


def _with_schema(session: Session, name: TableName) -> TableName:
    given = {"name": name.identifier.as_string(None), "schema": name.schema}
    ((schema,),) = session.execute(block("target_check.sql", "schema", name), given)
    return name.within(schema)


def _prepared(name: str, query: RawQuery) -> str:
    """The statement as PREPARE takes it, behind a line that names its parameters."""
    types = ", ".join("jsonb" if parameter in _JSONB else "json" for parameter in query.names)
    named = ", ".join(f"${place} {parameter}" for place, parameter in enumerate(query.names, 1))
    return f"-- {named}\nPREPARE {name} ({types}) AS\n{query.text.decode()}"
