"""The app: it makes no producer, because a process that only migrates needs none; the first report does."""

from __future__ import annotations

import os
from typing import Any, Final

from django.apps import AppConfig
from django.conf import settings
from django.core import checks

from jobstatus_producer.errors import SettingsError
from jobstatus_producer.functions import read_environ_from
from jobstatus_producer.settings import ProducerSettings

PREFIX: Final = "JOBSTATUS_"


class JobStatusConfig(AppConfig):
    """Every setting of Django whose name begins with `JOBSTATUS_` counts before the variable of this name.

    One that is None leaves the variable as it is.
    """

    name = "jobstatus_producer.integrations.django"
    label = "jobstatus"
    verbose_name = "Job status"

    def ready(self) -> None:
        """Have the first report use the settings, and `manage.py check` look at them."""
        read_environ_from(environ)
        checks.register(check_settings)


def environ() -> dict[str, str]:
    """The environment with Django's settings in it. A setting that is None is as one that is not there."""
    given = {name: getattr(settings, name) for name in dir(settings) if name.startswith(PREFIX)}
    return {**os.environ, **{name: _text(value) for name, value in given.items() if value is not None}}


def check_settings(app_configs: Any, **_: Any) -> list[checks.CheckMessage]:
    """An error for the first setting that no producer accepts. It connects to nothing."""
    try:
        ProducerSettings.from_env(environ())
    except SettingsError as error:
        return [checks.Error(str(error), id="jobstatus.E001")]
    return []


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return ",".join(map(str, value)) if isinstance(value, list | tuple | set | frozenset) else str(value)
