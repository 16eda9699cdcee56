"""The app, and the settings that it reads."""

from __future__ import annotations

import os
import re
from typing import Final

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from jobstatus_schemas.database_url import TABLE_NAME, TABLE_WORDS

WORDS: Final = ("pending", "processing", "success", "error", "retrying", "revoked")
"""The statuses that the admin page offers, where no setting lists others."""


class JobStatusReaderConfig(AppConfig):
    """Its settings are those of a consumer: in Django's settings or, where they are not there, in the environment."""

    name = "jobstatus_reader.django"
    label = "jobstatus_reader"
    verbose_name = "Job states"


def table() -> str:
    """`JOBSTATUS_TABLE` as Django's `db_table`. Raises `ImproperlyConfigured` for a name that cannot be."""
    name = _setting("JOBSTATUS_TABLE") or "jobs"
    if not re.fullmatch(TABLE_NAME, name):
        raise ImproperlyConfigured(f"JOBSTATUS_TABLE: {name!r} is no table; wanted {TABLE_WORDS}")
    # Django knows no schemas, and leaves a name alone that is in quotes
    schema, dot, short = name.rpartition(".")
    return f'"{schema}"."{short}"' if dot else short


def database() -> str | None:
    """`JOB_STATES_DATABASE`, a key of `DATABASES`; None where Django's routers choose."""
    return getattr(settings, "JOB_STATES_DATABASE", None)


def statuses() -> tuple[str, ...]:
    """`JOBSTATUS_STATUSES`, a list or words with commas between them."""
    given = _setting("JOBSTATUS_STATUSES")
    words = given.split(",") if isinstance(given, str) else given
    return tuple(word.strip() for word in words if word.strip()) or WORDS


def _setting(name: str) -> str:
    found: str = getattr(settings, name, None) or os.environ.get(name, "")
    return found
