"""Named blocks of SQL out of the `.sql` files beside this module.

A block begins with a line `-- name --`; the comment after it is its reason. `{table}` and `{progress}` are filled
in as quoted identifiers.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

from psycopg import sql

from jobstatus_consumer.store.names import TableName

_HEAD = re.compile(r"^-- (\w+) --$", re.MULTILINE)


@cache
def blocks(file: str) -> dict[str, str]:
    """The blocks of one file by name, without comment lines."""
    text = resources.files("jobstatus_consumer.store").joinpath(file).read_text(encoding="utf-8")
    parts = _HEAD.split(text)
    return {name: _without_comments(body) for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def block(file: str, name: str, table: TableName) -> sql.Composed:
    """One block for one table."""
    # the text is our own file, no input: what SQL() wants to be sure of
    return sql.SQL(blocks(file)[name]).format(table=table.identifier, progress=table.progress.identifier)


def _without_comments(body: str) -> str:
    return "\n".join(line for line in body.strip().splitlines() if not line.lstrip().startswith("--"))
