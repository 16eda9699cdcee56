"""A table that is not found, because this role may not use its schema: the server hides what is there."""

from __future__ import annotations

from jobstatus_consumer.store.grants import usage_grant
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.session import Session


def hidden_in(session: Session, name: TableName) -> str:
    """Where a table that was not found may be, and the GRANT for it, to be added to a message; empty if nowhere."""
    given = {"schema": name.schema, "table": name.identifier.as_string(None)}
    for schema, role, _ in session.execute(block("admin.sql", "closed_schemas", name), given):
        return f"; the role {role} may not use the schema {schema}, which may have it ({usage_grant(schema, role)})"
    return ""
