"""The GRANT statements of a role, as psql takes them. Nothing here asks a server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from jobstatus_schemas.database_url import read_url
from psycopg import ProgrammingError, sql
from psycopg.conninfo import conninfo_to_dict

from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.privileges import Role

PUBLIC: Final = "public"
"""The schema of a table whose name has none, as PostgreSQL's own search_path says."""


def role_grants(wanted: Role, place: TableName, role: str, *, url: str = "", with_waiting: bool = False) -> list[str]:
    """Every GRANT that `role` needs to be such a role, on the database, the schema and our tables.

    `url` names the database; without one there is no GRANT on it. A database may grant CONNECT and USAGE to
    everybody already: granting them again changes nothing.
    """
    schema = place.schema or PUBLIC
    database = _database_of(url)
    return [
        *([f"GRANT CONNECT ON DATABASE {quoted([database])} TO {quoted([role])}"] if database else []),
        usage_grant(schema, role),
        *([f"GRANT CREATE ON SCHEMA {quoted([schema])} TO {quoted([role])}"] if wanted.makes_tables else []),
        *table_grants(wanted, place, role, with_waiting=with_waiting),
    ]


def table_grants(wanted: Role, place: TableName, role: str, *, with_waiting: bool) -> list[str]:
    """The GRANTs on our tables; tables with the same privileges share one."""
    by_rights: dict[tuple[str, ...], list[TableName]] = {}
    for table, rights in wanted.on(place, with_waiting=with_waiting).items():
        by_rights.setdefault(rights, []).append(table)
    return [granted(", ".join(rights), tables, role) for rights, tables in by_rights.items()]


def usage_grant(schema: str, role: str) -> str:
    """The GRANT that lets the role use the schema."""
    return f"GRANT USAGE ON SCHEMA {quoted([schema])} TO {quoted([role])}"


def granted(rights: str, tables: Sequence[TableName], role: str) -> str:
    """The GRANT of these rights, a part of a statement already, on these tables."""
    named = ", ".join(table.identifier.as_string(None) for table in tables)
    return f"GRANT {rights} ON {named} TO {quoted([role])}"


def quoted(names: Iterable[str]) -> str:
    """The names of columns, schemas or roles, as a statement takes them."""
    return ", ".join(sql.Identifier(name).as_string(None) for name in names)


def _database_of(url: str) -> str:
    """The database's name in the URL; empty if it has none, or cannot be read."""
    try:
        return str(conninfo_to_dict(read_url(url)).get("dbname") or "")
    except (ValueError, ProgrammingError):
        return ""
