"""The models of the managed table, made from its layout: for SQLAlchemy and for Django.

`python -m tests.support.generate_docs` writes them, and a test fails if they do not agree with the layout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from jobstatus_consumer.store.layout import BIGINT, INTEGER, MANAGED, TEXT, TIME, UUID, Column, Role, SqlType

READER: Final = Path(__file__).resolve().parents[2] / "consumer" / "jobstatus_reader"
HEAD: Final = '''"""The columns of the managed table for {framework}; `docs/reference/table.md` explains each.

This file is made from the layout of the table: `python -m tests.support.generate_docs` writes it.
"""

from __future__ import annotations

'''
SQLALCHEMY: Final = '''from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Integer, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column


class JobColumns:
    """A mixin: `class Job(JobColumns, Base): __tablename__ = "jobs"`. Add columns of your own below it."""

'''
DJANGO: Final = '''from django.db import models


class JobColumns(models.Model):
    """An abstract model, for a model with columns of your own; `models.Job` is the table as `migrate` makes it."""

    class Meta:
        abstract = True

'''


class Words(NamedTuple):
    """A type of a column, in Python, SQLAlchemy and Django."""

    python: str
    sqlalchemy: str
    django: str


WORDS: Final[Mapping[SqlType, Words]] = {
    TEXT: Words("str", "Text", "TextField"),
    INTEGER: Words("int", "Integer", "IntegerField"),
    BIGINT: Words("int", "BigInteger", "BigIntegerField"),
    UUID: Words("UUID", "Uuid", "UUIDField"),
    TIME: Words("datetime", "DateTime(timezone=True)", "DateTimeField"),
}


def sqlalchemy_model() -> str:
    """The text of `jobstatus_reader/sqlalchemy.py`."""
    return HEAD.format(framework="SQLAlchemy") + SQLALCHEMY + "".join(map(_mapped, MANAGED.columns))


def django_model() -> str:
    """The text of `jobstatus_reader/django/columns.py`."""
    return HEAD.format(framework="Django") + DJANGO + "".join(map(_field, MANAGED.columns))


def _mapped(column: Column) -> str:
    words = WORDS[column.type]
    if column.role is Role.KEY:
        return f"    {column.name}: Mapped[{words.python}] = mapped_column({words.sqlalchemy}, primary_key=True)\n"
    return f"    {column.name}: Mapped[{words.python} | None] = mapped_column({words.sqlalchemy})\n"


def _field(column: Column) -> str:
    options = "primary_key=True" if column.role is Role.KEY else "null=True"
    return f"    {column.name} = models.{WORDS[column.type].django}({options})\n"


MODELS: Final[Mapping[Path, Callable[[], str]]] = {
    READER / "sqlalchemy.py": sqlalchemy_model,
    READER / "django" / "columns.py": django_model,
}
