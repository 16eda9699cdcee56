"""One connection to PostgreSQL, made the way the writer needs it: bounded in every direction, or not at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from jobstatus_consumer.errors import DeploymentError
from jobstatus_consumer.store import json_params
from jobstatus_consumer.store.sqlstate import classify


@dataclass(frozen=True, slots=True)
class Limits:
    """How long anything may take, in seconds; a packet that vanishes is noticed after `deaf` at the latest."""

    connect: float = 5.0
    statement: float = 10.0
    lock: float = 5.0
    deaf: float = 15.0


DEFAULT_LIMITS: Final = Limits()

MALFORMED: Final = (
    "JOBSTATUS_DATABASE_URL is malformed; wanted postgresql://user:password@host:port/database, "
    "a password's own @, /, : and % written as %40, %2F, %3A and %25"
)


# After the connect, not as start-up options: poolers refuse those.
# synchronous_commit: an offset is committed on the word of this session. read committed: the guard must see what
# another writer has just written, and not fail because of it.
SESSION: Final = (
    b"SELECT set_config('synchronous_commit', 'on', false),"
    b" set_config('default_transaction_isolation', 'read committed', false),"
    b" set_config('statement_timeout', %(statement)s, false), set_config('lock_timeout', %(lock)s, false)"
)


def session_parameters(limits: Limits) -> dict[str, str]:
    """The parameters of `SESSION`."""
    return {"statement": f"{round(limits.statement * 1000)}ms", "lock": f"{round(limits.lock * 1000)}ms"}


def connect(url: str, limits: Limits = DEFAULT_LIMITS) -> Connection[TupleRow]:
    """A session that is ready; raises what `open_connection` does."""
    connection = open_connection(url, limits)
    try:
        connection.execute(SESSION, session_parameters(limits), prepare=False)
    except psycopg.Error as error:
        connection.close()
        raise classify(error) from None
    return connection


def open_connection(url: str, limits: Limits) -> Connection[TupleRow]:
    """Connect, and no more. Raises DatabaseAwayError when that fails, and DeploymentError for a malformed URL."""
    secret = ""
    try:
        given = conninfo_to_dict(url)
        if _is_misread(given):
            raise DeploymentError(MALFORMED)
        secret = str(given.get("password") or "")
        conninfo = make_conninfo(url, **_parameters(given, limits))
        connection = psycopg.connect(conninfo, autocommit=True, prepare_threshold=0)
    except psycopg.ProgrammingError:
        # libpq's own words repeat the URL, and nobody knows where in it the password is
        raise DeploymentError(MALFORMED) from None
    except psycopg.Error as error:
        raise classify(error, secret) from None
    json_params.register(connection)
    return connection


def _is_misread(given: dict[str, str | int | None]) -> bool:
    """Whether a piece of the password was taken for the host or the port: it had an @ or a / of its own."""
    hosts, ports = str(given.get("host") or ""), str(given.get("port") or "")
    # one that begins with @ is a socket without a file
    return any("@" in host[1:] for host in hosts.split(",")) or not re.fullmatch(r"[\d, ]*", ports)


def _parameters(given: dict[str, str | int | None], limits: Limits) -> dict[str, str | int]:
    """What the URL does not say for itself."""
    ours: dict[str, str | int] = {
        "application_name": "jobstatus",
        "client_encoding": "utf8",
        "connect_timeout": max(2, round(limits.connect)),
        "keepalives": 1,
        "keepalives_idle": max(1, round(limits.deaf / 3)),
        "keepalives_interval": max(1, round(limits.deaf / 6)),
        "keepalives_count": 3,
        "tcp_user_timeout": round(limits.deaf * 1000),
    }
    return {name: value for name, value in ours.items() if given.get(name) is None}
