"""What a failure means, by exception class and SQLSTATE, never by message text. `TABLE` has every answer.

The server's message is passed on only if it cannot hold a value of a row. So it is left out for a row that was
refused, and for an error raised inside a user's function, since a trigger may put anything into its message.
"""

from __future__ import annotations

from typing import Final

import psycopg
from jobstatus_schemas.database_url import without_password

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

# A SQLSTATE, or its class (the first two characters); a whole SQLSTATE counts before its class.
# Some classes cannot come from our statements; they are here so that each has an answer.
TABLE: Final[tuple[tuple[str, type[StoreError], str], ...]] = (
    ("00", WRONG, "success is not an error"),
    ("01", WRONG, "a warning is not an error"),
    ("02", WRONG, "no data is not an error"),
    ("03", WRONG, "statement not yet complete: we broke the protocol"),
    ("08", AWAY, "connection exception"),
    ("09", WRONG, "triggered action: never raised for this statement"),
    ("0A", STALE, "not supported: the plan of a prepared statement changed, or there is a pooler"),
    ("0B", WRONG, "transaction initiation"),
    ("0F", WRONG, "locators"),
    ("0L", WRONG, "grantor"),
    ("0P", WRONG, "role specification"),
    ("0Z", WRONG, "diagnostics, in a user's function"),
    ("10", WRONG, "XQuery, in a user's function"),
    ("20", WRONG, "CASE not found, in a user's function"),
    ("21", BAD_ROW, "cardinality: a trigger wrote a later row of the statement; folding leaves no key twice"),
    ("22", BAD_ROW, "data exception: NUL, too long, out of range, not in the server's encoding"),
    ("23", BAD_ROW, "integrity constraint"),
    ("24", WRONG, "cursor state"),
    ("25", WRONG, "transaction state, except:"),
    ("25006", AWAY, "read-only, during a fail-over; a new session can write"),
    ("25P02", STALE, "in a failed transaction: this is no longer our autocommit session"),
    ("25P03", AWAY, "the server ended an idle transaction"),
    ("25P04", AWAY, "the server ended a long transaction"),
    ("26", WRONG, "statement name, except:"),
    ("26000", STALE, "the prepared statement is gone: there is a pooler"),
    ("27", BAD_ROW, "a trigger changes its own row, or a later row of the statement"),
    ("28", WRONG, "password, role"),
    ("2B", WRONG, "dependent privileges"),
    ("2D", WRONG, "a trigger ends the transaction"),
    ("2F", WRONG, "SQL routine"),
    ("34", WRONG, "cursor name"),
    ("38", WRONG, "external routine: a user's function is broken"),
    ("39", WRONG, "external routine: a user's function is broken"),
    ("3B", WRONG, "savepoint: none is used"),
    ("3D", WRONG, "no such database"),
    ("3F", WRONG, "no such schema"),
    ("40", AWAY, "rolled back by the server: serialization, deadlock, completion unknown"),
    ("40002", BAD_ROW, "rolled back for an integrity constraint"),
    ("42", WRONG, "no such table or column, no right, wrong type"),
    ("42P05", STALE, "the prepared statement exists already: there is a pooler"),
    ("44", BAD_ROW, "WITH CHECK OPTION"),
    ("53", AWAY, "out of memory, disk or connections"),
    ("54", BAD_ROW, "a limit, such as the size of an index entry"),
    ("55", WRONG, "object state, except:"),
    ("55P03", AWAY, "the lock was not free within lock_timeout"),
    ("57", AWAY, "operator: shutdown, restart, time-out, cancelled"),
    ("58", AWAY, "system: I/O, files"),
    ("72", WRONG, "snapshot too old"),
    ("F0", WRONG, "configuration file"),
    ("HV", WRONG, "foreign data wrapper"),
    ("P0", WRONG, "a user's function, except:"),
    ("P0001", BAD_ROW, "a user's trigger refuses the row (RAISE EXCEPTION)"),
    ("XX", WRONG, "internal error, corruption"),
)  # fmt: skip

# For an error without a SQLSTATE; the first class that fits counts.
WITHOUT_SQLSTATE: Final[tuple[tuple[type[Exception], type[StoreError], str], ...]] = (
    (psycopg.OperationalError, AWAY, "refused, dead, timed out; every error while connecting"),
    (psycopg.DataError, BAD_ROW, "the client refuses a value, such as NUL"),
    (UnicodeError, BAD_ROW, "the client cannot encode a value"),
    (TypeError, BAD_ROW, "orjson cannot encode a value, such as a lone surrogate"),
    (psycopg.Error, WRONG, "we used the client wrongly, or it is broken"),
)

MAY_NOT: Final = "42501"
"""The role has no right to do this."""
LOCK_TIME_OUT: Final = "55P03"
DEADLOCK: Final = "40P01"
POOLED: Final = ("26000", "42P05")
"""What prepared statements run into behind a pooler in transaction mode."""
POOLER_REMEDY: Final = (
    "; is there a pooler in transaction mode in between, such as PgBouncer? Set JOBSTATUS_PREPARED_STATEMENTS=off, or "
    "connect directly, or pool by session"
)

NOT_FOUND: Final = ("42P01", "42704", "42883")
"""No such table, type or function: the function of a trigger may look for it in the search_path of our session."""
FUNCTION_REMEDY: Final = (
    "; it was raised inside a function, such as a trigger's. A session of jobstatus looks for a name without a schema "
    "only where no other role may create anything: ALTER FUNCTION ... SET search_path = ... gives the function its own"
)

_BY_SQLSTATE: Final = {prefix: kind for prefix, kind, _ in TABLE}


def kind_of(error: Exception) -> type[StoreError] | None:
    """Which of our errors this is; None for an exception that is not about a statement."""
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate is not None:
        return _BY_SQLSTATE.get(sqlstate) or _BY_SQLSTATE.get(sqlstate[:2]) or WRONG
    return next((kind for exception, kind, _ in WITHOUT_SQLSTATE if isinstance(error, exception)), None)


def classify(error: Exception, secret: str = "") -> StoreError:
    """Our error for this exception, without the text `secret`. Raises an exception that is not about a statement."""
    kind = kind_of(error)
    if kind is None:
        raise error
    sqlstate = getattr(error, "sqlstate", None)
    name = type(error).__name__
    head = f"{name} ({sqlstate})" if sqlstate else name
    said = _message(error, kind)
    text = f"{head}: {without_password(said, secret)}" if said else head
    if sqlstate in POOLED:
        text += POOLER_REMEDY
    if sqlstate in NOT_FOUND and _in_function(error):
        text += FUNCTION_REMEDY
    return kind(text, sqlstate=sqlstate, error_class=name, where=_where(error))


def _message(error: Exception, kind: type[StoreError]) -> str:
    if kind is BAD_ROW or not isinstance(error, psycopg.Error):
        return ""
    if error.sqlstate is None:
        return " ".join(str(error).split())
    known = error.sqlstate in _BY_SQLSTATE or error.sqlstate[:2] in _BY_SQLSTATE
    return (error.diag.message_primary or "") if known and not _in_function(error) else ""


def _in_function(error: Exception) -> bool:
    return isinstance(error, psycopg.Error) and bool(error.diag.context)


def _where(error: Exception) -> str:
    if not isinstance(error, psycopg.Error):
        return ""
    diag = error.diag
    return diag.constraint_name or diag.column_name or diag.datatype_name or diag.table_name or ""
