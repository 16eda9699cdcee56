"""A statement with numbered parameters, which psycopg sends as it is.

Psycopg looks for parameters in every statement over 4 KiB each time that it is executed. With a target the writer's
statement is that long, and the search costs a tenth of a batch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from psycopg import Connection, RawCursor, sql
from psycopg.rows import TupleRow

_PARAMETER: Final = re.compile(rb"%(?:%|\((\w+)\)s)")


@dataclass(frozen=True, slots=True)
class RawQuery:
    """The statement, and the names of its parameters by their number."""

    text: bytes
    names: tuple[str, ...]

    @classmethod
    def of(cls, composed: sql.Composed) -> RawQuery:
        """The statement with a number for each name."""
        names: dict[str, int] = {}

        def numbered(match: re.Match[bytes]) -> bytes:
            if match[1] is None:
                return b"%"
            return b"$%d" % names.setdefault(match[1].decode(), len(names) + 1)

        text = _PARAMETER.sub(numbered, composed.as_bytes())
        return cls(text, tuple(names))

    def fetch(self, connection: Connection[TupleRow], parameters: Mapping[str, Any]) -> list[TupleRow]:
        """Execute the statement. Raises what psycopg raises."""
        with RawCursor(connection) as cursor:
            return cursor.execute(self.text, [parameters[name] for name in self.names]).fetchall()
