"""What a failure means: by exception class and SQLSTATE, never by message text. The table below is the whole truth.

A message of the server's is passed on only where it cannot hold a value of a row: not for a row that was refused,
and not where it was raised inside somebody's function (a trigger may put anything into it).
"""

from __future__ import annotations

import re
from typing import Final

import psycopg

from jobstatus_consumer.errors import (
    BadRowError,
    ConnectionStaleError,
    DatabaseAwayError,
    DeploymentError,
    StoreError,
)

AWAY: Final = DatabaseAwayError
STALE: Final = ConnectionStaleError
BAD_ROW: Final = BadRowError
WRONG: Final = DeploymentError

# SQLSTATE, or its class (the first two characters): the longest that fits counts.
# A server may say more than this one statement can ever cause; those classes are here so that each has an answer.
TABLE: Final[tuple[tuple[str, type[StoreError], str], ...]] = (
    ("00", WRONG, "success is no error"),
    ("01", WRONG, "a warning is no error"),
    ("02", WRONG, "no data is no error"),
    ("03", WRONG, "statement not yet complete: a broken protocol of ours"),
    ("08", AWAY, "connection exception"),
    ("09", WRONG, "triggered action: never raised for this statement"),
    ("0A", STALE, "not supported: a plan that changed under the prepared statement, or a pooler in between"),
    ("0B", WRONG, "transaction initiation"),
    ("0F", WRONG, "locators"),
    ("0L", WRONG, "grantor"),
    ("0P", WRONG, "role specification"),
    ("0Z", WRONG, "diagnostics, in somebody's function"),
    ("10", WRONG, "XQuery, in somebody's function"),
    ("20", WRONG, "CASE not found, in somebody's function"),
    ("21", WRONG, "cardinality: the same key twice in one statement would be our bug"),
    ("22", BAD_ROW, "data exception: NUL, too long, out of range, not in the server's encoding"),
    ("23", BAD_ROW, "integrity constraint"),
    ("24", WRONG, "cursor state"),
    ("25", WRONG, "transaction state, apart from these:"),
    ("25006", AWAY, "read-only: a fail-over; writable again after it"),
    ("25P02", STALE, "in a failed transaction: not our autocommit session any more"),
    ("25P03", AWAY, "the server ended an idle transaction"),
    ("25P04", AWAY, "the server ended a long transaction"),
    ("26", WRONG, "statement name, apart from:"),
    ("26000", STALE, "the prepared statement is gone: a pooler in between"),
    ("27", WRONG, "a trigger changes the rows of its own statement"),
    ("28", WRONG, "password, role"),
    ("2B", WRONG, "dependent privileges"),
    ("2D", WRONG, "a trigger ends the transaction"),
    ("2F", WRONG, "SQL routine"),
    ("34", WRONG, "cursor name"),
    ("38", WRONG, "external routine: somebody's function is broken"),
    ("39", WRONG, "external routine: somebody's function is broken"),
    ("3B", WRONG, "savepoint: none is used"),
    ("3D", WRONG, "no such database"),
    ("3F", WRONG, "no such schema"),
    ("40", AWAY, "rolled back by the server: serialization, deadlock, completion unknown"),
    ("40002", BAD_ROW, "rolled back for an integrity constraint"),
    ("42", WRONG, "no such table or column, no right, wrong type"),
    ("42P05", STALE, "the prepared statement is there already: a pooler in between"),
    ("44", BAD_ROW, "WITH CHECK OPTION"),
    ("53", AWAY, "out of memory, disk or connections"),
    ("54", BAD_ROW, "a limit, such as the size of an index entry"),
    ("55", WRONG, "object state, apart from:"),
    ("55P03", AWAY, "lock not available within lock_timeout"),
    ("57", AWAY, "operator: shutdown, restart, timeout, cancelled"),
    ("58", AWAY, "system: I/O, files"),
    ("72", WRONG, "snapshot too old"),
    ("F0", WRONG, "configuration file"),
    ("HV", WRONG, "foreign data wrapper"),
    ("P0", WRONG, "somebody's function, apart from:"),
    ("P0001", BAD_ROW, "somebody's trigger refuses the row (RAISE EXCEPTION)"),
    ("XX", WRONG, "internal error, corruption"),
)  # fmt: skip

# Where there is no SQLSTATE: the first class that fits counts.
WITHOUT_SQLSTATE: Final[tuple[tuple[type[Exception], type[StoreError], str], ...]] = (
    (psycopg.OperationalError, AWAY, "refused, dead, timed out; every error while connecting"),
    (psycopg.DataError, BAD_ROW, "the client refuses a value, such as NUL"),
    (UnicodeError, BAD_ROW, "the client cannot encode a value"),
    (TypeError, BAD_ROW, "orjson cannot encode a value, such as a lone surrogate"),
    (psycopg.Error, WRONG, "the client was used wrongly, or is broken"),
)

POOLED: Final = ("26000", "42P05")
"""What a pooler in transaction mode makes of prepared statements."""
POOLER_REMEDY: Final = (
    "; is there a pooler in transaction mode in between, such as PgBouncer? A consumer needs one connection only: "
    "connect directly, or pool by session"
)

_BY_SQLSTATE: Final = {prefix: kind for prefix, kind, _ in TABLE}


def kind_of(error: Exception) -> type[StoreError] | None:
    """Which of our errors this is, or None for an exception that has nothing to do with a statement."""
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate is not None:
        return _BY_SQLSTATE.get(sqlstate) or _BY_SQLSTATE.get(sqlstate[:2]) or WRONG
    return next((kind for exception, kind, _ in WITHOUT_SQLSTATE if isinstance(error, exception)), None)


def classify(error: Exception, secret: str = "") -> StoreError:
    """Our error for this one; anything that is not about a statement is raised again as it is."""
    kind = kind_of(error)
    if kind is None:
        raise error
    sqlstate = getattr(error, "sqlstate", None)
    name = type(error).__name__
    head = f"{name} ({sqlstate})" if sqlstate else name
    said = _message(error, kind)
    text = f"{head}: {masked(said, secret)}" if said else head
    if sqlstate in POOLED:
        text += POOLER_REMEDY
    return kind(text, sqlstate=sqlstate, error_class=name, where=_where(error))


def masked(text: str, secret: str = "") -> str:
    """The text without the password, whether it is known or only looks like one."""
    if secret:
        text = text.replace(secret, "***")
    text = re.sub(r"(://[^:/@\s]*:)[^\s]*@", r"\1***@", text)
    return re.sub(r"(password\s*=\s*)('[^']*'|[^\s&]+)", r"\1***", text, flags=re.IGNORECASE)


def _message(error: Exception, kind: type[StoreError]) -> str:
    if kind is BAD_ROW or not isinstance(error, psycopg.Error):
        return ""
    if error.sqlstate is None:
        return " ".join(str(error).split())
    known = error.sqlstate in _BY_SQLSTATE or error.sqlstate[:2] in _BY_SQLSTATE
    return (error.diag.message_primary or "") if known and not error.diag.context else ""


def _where(error: Exception) -> str:
    if not isinstance(error, psycopg.Error):
        return ""
    diag = error.diag
    return diag.constraint_name or diag.column_name or diag.datatype_name or diag.table_name or ""
