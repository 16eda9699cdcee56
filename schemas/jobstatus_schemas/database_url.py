"""The database's URL: what the consumer and the reader make of it, and how it stays out of every message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from jobstatus_schemas.secret_files import read_secret

FILE_SCHEME: Final = "file:"
"""What a database's URL begins with if the rest of it names the file that has the URL."""
POOLED_SCHEME: Final = "pooled:"
"""What a database's URL begins with if each of its transactions may be in another session of the server."""
_DRIVER: Final = re.compile(r"\A(postgres(?:ql)?)\+\w+(?=://)")
"""How SQLAlchemy names its driver in a URL."""
TABLE_NAME: Final = r"[A-Za-z_][A-Za-z0-9_$]{0,50}(\.[A-Za-z_][A-Za-z0-9_$]{0,50})?"
TABLE_WORDS: Final = "name or schema.name, each of at most 51 letters, digits, underscores and $, no digit first"
MALFORMED: Final = (
    "JOBSTATUS_DATABASE_URL is malformed; wanted postgresql://user:password@host:port/database, "
    "a password's own @, /, : and % written as %40, %2F, %3A and %25"
)


def read_url(url: str) -> str:
    """Return the database's URL: the text itself, or what the file that it names has now. Raises `ValueError`.

    A driver in it, as in `postgresql+psycopg://`, is left out.
    """
    url = url.removeprefix(POOLED_SCHEME)
    return _DRIVER.sub(r"\1", read_secret(url.removeprefix(FILE_SCHEME)) if url.startswith(FILE_SCHEME) else url)


def is_misread(given: Mapping[str, str | int | None]) -> bool:
    """Return whether libpq took a part of the password for the host or the port, because it has an @ or a / in it."""
    hosts, ports = str(given.get("host") or ""), str(given.get("port") or "")
    # a host that begins with @ is an abstract Unix socket, which has no file
    return any("@" in host[1:] for host in hosts.split(",")) or not re.fullmatch(r"[\d, ]*", ports)


def own_parameters(
    given: Mapping[str, str | int | None], *, application: str, connect: float, deaf: float
) -> dict[str, str | int]:
    """Return our parameters for a connection, without those that the URL sets.

    `connect` and `deaf` are in seconds: a connection whose packets vanish is given up after `deaf`.
    """
    ours: dict[str, str | int] = {
        "application_name": application,
        "client_encoding": "utf8",
        "connect_timeout": max(2, round(connect)),
        "keepalives": 1,
        "keepalives_idle": max(1, round(deaf / 3)),
        "keepalives_interval": max(1, round(deaf / 6)),
        "keepalives_count": 3,
        "tcp_user_timeout": round(deaf * 1000),
    }
    return {name: value for name, value in ours.items() if given.get(name) is None}


def without_password(text: str, secret: str = "") -> str:
    """Return the text without `secret`, and without anything that looks like a password."""
    if secret:
        text = text.replace(secret, "***")
    text = re.sub(r"(://[^:/@\s]*:)[^\s]*@", r"\1***@", text)
    return re.sub(r"(password\s*=\s*)('[^']*'|[^\s&]+)", r"\1***", text, flags=re.IGNORECASE)
