"""What a failure means: every SQLSTATE has a deliberate answer, and no message lets a value or a password out."""

from __future__ import annotations

import psycopg
import pytest
from jobstatus_consumer.errors import (
    BadRowError,
    ConnectionStaleError,
    DatabaseAwayError,
    DeploymentError,
    StoreError,
)
from jobstatus_consumer.store.sqlstate import TABLE, classify, kind_of
from jobstatus_schemas.database_url import without_password
from psycopg import errors

SQLSTATES = sorted(
    kind.sqlstate
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, psycopg.Error) and kind.sqlstate
)

AWAY = {"25006", "25P03", "25P04", "55P03"}
STALE = {"25P02", "26000", "42P05"}
BAD_ROW = {"40002", "P0001"}
CLASSES: dict[type[StoreError], set[str]] = {
    DatabaseAwayError: {"08", "40", "53", "57", "58"},
    ConnectionStaleError: {"0A"},
    BadRowError: {"21", "22", "23", "27", "44", "54"},
}


def by_the_design(sqlstate: str) -> type[StoreError]:
    """docs/design.md, "What a failure means", once more in words of its own."""
    if sqlstate in BAD_ROW:
        return BadRowError
    if sqlstate in STALE:
        return ConnectionStaleError
    if sqlstate in AWAY:
        return DatabaseAwayError
    return next((kind for kind, classes in CLASSES.items() if sqlstate[:2] in classes), DeploymentError)


def raised(sqlstate: str) -> psycopg.Error:
    try:
        return errors.lookup(sqlstate)("the text is not asked")
    except KeyError:
        error = psycopg.DatabaseError("the text is not asked")
        error.sqlstate = sqlstate
        return error


def test_the_list_of_sqlstates_is_whole() -> None:
    assert len(SQLSTATES) > 250
    assert {"22P05", "57P01", "40P01", "XX000"} < set(SQLSTATES)


@pytest.mark.parametrize("sqlstate", SQLSTATES)
def test_every_sqlstate_has_a_deliberate_answer(sqlstate: str) -> None:
    assert {sqlstate, sqlstate[:2]} & {prefix for prefix, _, _ in TABLE}
    assert kind_of(raised(sqlstate)) is by_the_design(sqlstate)


def test_the_table_names_nothing_twice_and_nothing_that_does_not_exist() -> None:
    prefixes = [prefix for prefix, _, _ in TABLE]
    assert len(prefixes) == len(set(prefixes))
    assert {prefix for prefix in prefixes if len(prefix) == 5} <= set(SQLSTATES)
    assert {prefix for prefix in prefixes if len(prefix) == 2} >= {sqlstate[:2] for sqlstate in SQLSTATES}


@pytest.mark.parametrize("sqlstate", ["ZZ001", "99999", "X1234"])
def test_the_unknown_stops_loudly_and_its_text_is_not_passed_on(sqlstate: str) -> None:
    found = classify(raised(sqlstate))
    assert type(found) is DeploymentError
    assert found.sqlstate == sqlstate
    assert "the text" not in str(found)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.OperationalError("server closed the connection unexpectedly"), DatabaseAwayError),
        (errors.ConnectionTimeout("connection timeout expired"), DatabaseAwayError),
        (psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), BadRowError),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), BadRowError),
        (TypeError("str is not valid UTF-8: surrogates not allowed"), BadRowError),
        (psycopg.InterfaceError("the cursor is closed"), DeploymentError),
        (psycopg.ProgrammingError("the query has 3 placeholders"), DeploymentError),
        (psycopg.NotSupportedError("no"), DeploymentError),
        (psycopg.InternalError("no"), DeploymentError),
    ],
)
def test_where_there_is_no_sqlstate_the_class_decides(error: Exception, kind: type[StoreError]) -> None:
    assert type(classify(error)) is kind


def test_what_has_nothing_to_do_with_a_statement_is_raised_as_it_is() -> None:
    with pytest.raises(KeyError):
        classify(KeyError("a bug"))


def test_the_text_of_a_bad_row_is_never_passed_on() -> None:
    error = errors.InvalidTextRepresentation('invalid input syntax for type uuid: "secret value"')
    assert str(classify(error)) == "InvalidTextRepresentation (22P02)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:s3cret@host/db is bad", "postgresql://me:***@host/db is bad"),
        ("postgresql://me:s3@cret@host/db", "postgresql://me:***@host/db"),
        ("host=h password=s3cret user=me", "host=h password=*** user=me"),
        ("host=h password = 's3 cret' user=me", "host=h password = *** user=me"),
        ("postgresql://host/db?user=me&password=s3cret&x=1", "postgresql://host/db?user=me&password=***&x=1"),
        ('password authentication failed for user "me"', 'password authentication failed for user "me"'),
    ],
)
def test_what_looks_like_a_password_is_masked(text: str, shown: str) -> None:
    assert without_password(text) == shown


def test_a_known_password_is_masked_wherever_it_stands() -> None:
    assert without_password("odd text with s3cret in it", "s3cret") == "odd text with *** in it"


@pytest.mark.parametrize("sqlstate", ["26000", "42P05"])
def test_a_pooler_in_between_is_named_with_the_remedy(sqlstate: str) -> None:
    assert "pool by session" in str(classify(raised(sqlstate)))
