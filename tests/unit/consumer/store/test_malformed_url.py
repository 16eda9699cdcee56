"""A URL of the database that is mistyped: which setting it is and what is wanted, and no piece of the password."""

from __future__ import annotations

import pytest
from jobstatus_consumer.errors import DatabaseAwayError, DeploymentError
from jobstatus_consumer.store.connection import Limits, open_connection


@pytest.mark.parametrize(
    "url",
    [
        "postgres:/x:SECRET@h.invalid/d",
        "u:SECRET@h.invalid/d",
        "postgresql://u:SEC RET@h.invalid/d",
        "postgresql://u:SECRET%@h.invalid/d",
        "postgresql://u:SECRET@[::1/d",
        "postgresql://u:SECRET/x@h.invalid/d",
        "postgresql://u:x@SECRET@h.invalid/d",
        "postgresql://u:x@SECRET@h.invalid,other.invalid/d",
        "host=h.invalid port=SECRET",
        "password='SECRET",
    ],
)
def test_a_mistyped_url_is_never_repeated(url: str) -> None:
    with pytest.raises(DeploymentError) as raised:
        open_connection(url, Limits(connect=2.0))
    said = str(raised.value)
    assert "SECRET" not in said
    assert "SEC" not in said
    assert "JOBSTATUS_DATABASE_URL is malformed; wanted postgresql://user:password@host:port/" in said


def test_a_socket_without_a_file_is_a_host() -> None:
    with pytest.raises(DatabaseAwayError, match="@nobody-listens-here"):
        open_connection("postgresql:///d?host=@nobody-listens-here", Limits(connect=2.0))
