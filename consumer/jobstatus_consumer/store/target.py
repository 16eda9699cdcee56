"""The target file: how the state of a job becomes a row of a table that belongs to the user.

    table = "app.jobs"
    missing = "wait"                      # or "insert", or "ignore"
    where = "job.status <> 'cancelled'"   # optional
    every_event = true                    # optional
    [key]                                 # column = expression; NULL means "not ours"
    id = "event.job_id"
    [set]
    status = "event.status"

In an expression `event` is the state of the job, and `job` is the row. The expressions are SQL of the user's own. They
run in our session, with its rights and its search_path.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import SettingsError
from jobstatus_consumer.store.names import LONGEST_IDENTIFIER, TableName

KEYS: Final = ("table", "missing", "where", "every_event", "key", "set")
NOT_DONE: Final = "Nothing was read or written. Correct the file, then: jobstatus check"
_JOB: Final = re.compile(r'(?<![\w."])(?:job|"job")\s*(?:\.|(?![\w."]))', re.IGNORECASE)

T = TypeVar("T")


class Missing(Enum):
    """What is done with a job that has no row in the target."""

    WAIT = "wait"
    """the job waits until the application makes the row"""
    INSERT = "insert"
    """the row is made"""
    IGNORE = "ignore"
    """nothing, even if the row comes later"""


class Mapped(NamedTuple):
    """A column of the target, and the SQL expression that makes its value."""

    column: str
    expression: str


@dataclass(frozen=True, slots=True)
class Target:
    """A target file, checked as far as that is possible without a database."""

    path: str
    table: TableName
    key: tuple[Mapped, ...]
    assigned: tuple[Mapped, ...]
    missing: Missing = Missing.WAIT
    where: str = "true"
    every_event: bool | None = None
    """whether each event is written alone; None where `set` and the table's triggers decide that"""

    @classmethod
    def read(cls, path: str) -> Target:
        """Read the file. Raises SettingsError, which names the file, the key, and what is allowed."""
        try:
            given = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsError(f"the target file {path}: {error.strerror or error}. {NOT_DONE}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"the target file {path} is no TOML: {error}. {NOT_DONE}") from None
        return _Reader(path, given).target()

    @property
    def mentions_job(self) -> bool:
        """Whether a new value depends on the row's old values, so that no event between may be left out."""
        return any(_JOB.search(item.expression) for item in self.assigned)

    @property
    def expressions(self) -> tuple[tuple[str, str], ...]:
        """Every expression, with the place in the file where it stands."""
        return (
            *((f"key.{item.column}", item.expression) for item in self.key),
            *((f"set.{item.column}", item.expression) for item in self.assigned),
            ("where", self.where),
        )


def target_of(settings: Settings) -> Target | None:
    """The target of a deployment; None if it has none. Raises SettingsError if the file is wrong."""
    return Target.read(settings.target) if settings.target else None


class _Reader:
    """Checks one parsed file."""

    def __init__(self, path: str, given: Mapping[str, Any]) -> None:
        self._path = path
        self._given = given

    def target(self) -> Target:
        unknown = sorted(set(self._given) - set(KEYS))
        if unknown:
            raise self._error(unknown[0], f"is unknown; known are {', '.join(KEYS)}")
        key, columns = self._mapped("key"), self._mapped("set")
        both = sorted({item.column for item in key} & {item.column for item in columns})
        if both:
            raise self._error(f"set.{both[0]}", "is a column of the key; a key is never written")
        return Target(
            self._path,
            self._table(),
            key,
            columns,
            self._missing(),
            self._where(),
            self._of_type("every_event", bool, "true or false", None),
        )

    def _table(self) -> TableName:
        text = self._of_type("table", str, "name or schema.name", None)
        if not text:
            raise self._error("table", 'is missing; give the table, such as table = "app.jobs"')
        try:
            return TableName.parse(text, LONGEST_IDENTIFIER)
        except SettingsError as error:
            raise self._error("table", str(error)) from None

    def _missing(self) -> Missing:
        words = [item.value for item in Missing]
        word = self._of_type("missing", str, " or ".join(words), Missing.WAIT.value)
        if word not in words:
            raise self._error("missing", f"is {word!r}; wanted {' or '.join(words)}")
        return Missing(word)

    def _where(self) -> str:
        text = self._of_type("where", str, "an SQL condition", "true")
        return self._expression("where", text)

    def _mapped(self, key: str) -> tuple[Mapped, ...]:
        columns = self._of_type(key, dict, 'a table of columns, such as id = "event.job_id"', {})
        if not columns:
            raise self._error(key, f'is missing; give at least one column, such as [{key}] column = "event.status"')
        return tuple(Mapped(column, self._expression(f"{key}.{column}", text)) for column, text in columns.items())

    def _expression(self, key: str, text: object) -> str:
        if not isinstance(text, str) or not text.strip() or "\0" in text:
            raise self._error(key, "is no SQL expression; wanted a text that is not empty")
        return text

    def _of_type(self, key: str, kind: type[T], wanted: str, default: Any) -> Any:
        value = self._given.get(key, default)
        if value is not default and not isinstance(value, kind):
            raise self._error(key, f"is of the wrong type; wanted {wanted}")
        return value

    def _error(self, key: str, what: str) -> SettingsError:
        return SettingsError(f"the target file {self._path}: {key} {what}. {NOT_DONE}")
