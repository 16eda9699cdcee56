"""The name of a table, with or without a schema, and the names of the tables beside the managed one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from psycopg import sql

from jobstatus_consumer.errors import SettingsError

PROGRESS_SUFFIX = "_progress"
PURGED_SUFFIX = "_purged"
WAITING_SUFFIX = "_waiting"
AUDIT_SUFFIX = "_audit"
LONGEST_IDENTIFIER = 63
MAX_NAME_BYTES = LONGEST_IDENTIFIER - len(PROGRESS_SUFFIX)
"""PostgreSQL cuts a longer identifier without an error, and then both tables would have the same name."""

_PART = r'"(?:[^"\0\ud800-\udfff]|"")+"|[^".\0\s\ud800-\udfff]+'
_NAME = re.compile(rf"(?:({_PART})\.)?({_PART})")


@dataclass(frozen=True, slots=True)
class TableName:
    """`jobs`, `schema.jobs`, or with parts in double quotes. Capitals count in either form."""

    schema: str | None
    name: str

    @classmethod
    def parse(cls, text: str, longest: int = MAX_NAME_BYTES) -> TableName:
        """The name in a setting or an option; raises SettingsError if it is none, or has over `longest` bytes."""
        match = _NAME.fullmatch(text)
        if match is None:
            raise SettingsError(f"the table name {text!r} is neither name nor schema.name")
        schema, name = match.group(1), _unquoted(match.group(2))
        if len(name.encode()) > longest:
            raise SettingsError(f"the table name {text!r} is longer than {longest} bytes")
        return cls(_unquoted(schema) if schema else None, name)

    @property
    def progress(self) -> TableName:
        """The name of the progress table, in the same schema."""
        return TableName(self.schema, self.name + PROGRESS_SUFFIX)

    @property
    def purged(self) -> TableName:
        """The name of the table of purged jobs, in the same schema."""
        return TableName(self.schema, self.name + PURGED_SUFFIX)

    @property
    def waiting(self) -> TableName:
        """The name of the table of waiting jobs, in the same schema."""
        return TableName(self.schema, self.name + WAITING_SUFFIX)

    @property
    def audit(self) -> TableName:
        """The name of the audit log, in the same schema."""
        return TableName(self.schema, self.name + AUDIT_SUFFIX)

    def within(self, schema: str | None) -> TableName:
        """The same name in this schema."""
        return TableName(schema, self.name)

    @property
    def identifier(self) -> sql.Identifier:
        """The name for a statement, quoted."""
        return sql.Identifier(self.name) if self.schema is None else sql.Identifier(self.schema, self.name)

    def __str__(self) -> str:
        return self.name if self.schema is None else f"{self.schema}.{self.name}"


def _unquoted(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part
