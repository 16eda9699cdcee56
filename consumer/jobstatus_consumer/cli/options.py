"""Flags made from the declaration of the settings, and the settings read from flags and environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Final, TypeVar, get_args

import click
from jobstatus_schemas.event import check_job_id

from jobstatus_consumer.cli.kafka_flag import kafka_flag, kafka_properties
from jobstatus_consumer.config import Settings, env_name, is_utf8, load_settings
from jobstatus_consumer.durations import parse_duration
from jobstatus_consumer.errors import SettingsError
from jobstatus_consumer.telemetry import logs

Command = TypeVar("Command", bound=Callable[..., Any])


def with_settings(*fields: str, **help_texts: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add a flag for each of `fields`, `--bootstrap-servers` and `--kafka`; pass `settings` to the command first.

    A field in `help_texts` gets a flag with that help text, because it means something else here than for a consumer.
    """
    of_database = ("database_url_file", "prepared_statements") if "database_url" in fields else ()
    wanted = (*fields, *of_database, *help_texts, "log_format", "log_level")

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def run(**given: Any) -> Any:
            _check_texts(click.get_current_context(), {*wanted, "kafka"})
            flags = {field: given.pop(field) for field in wanted}
            flags["kafka"] = kafka_properties(given.pop("kafka"), "session.timeout.ms=10000")
            servers = given.pop("bootstrap_servers")
            if servers:
                flags["kafka"]["bootstrap.servers"] = servers
            settings = load_settings(os.environ, flags)
            logs.set_up(settings.log_format, settings.log_level)
            return command(settings, **given)

        for field in reversed(wanted):
            run = _option(field, help_texts.get(field, ""))(run)
        run = kafka_flag(run)
        return click.option(
            "--bootstrap-servers", metavar="HOST:PORT,...", help="The brokers. [env: JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS]"
        )(run)

    return decorate


def _check_texts(context: click.Context, of_settings: set[str]) -> None:
    """Refuse arguments that no command can use: bytes that are not UTF-8, empty words, impossible job ids.

    An empty word is an error, not a missing option. Settings validate their own values.
    """
    for param in context.command.params:
        for text in _texts(context.params.get(param.name or "")):
            if not is_utf8(text):
                raise SettingsError(f"{_named(param)}: holds bytes that are not UTF-8; wanted UTF-8")
            if param.name == "job_id":
                _check_job(_named(param), text)
            elif not text and param.name not in of_settings:
                raise SettingsError(f"{_named(param)}: empty; wanted {param.metavar or 'a word'}")


def _texts(value: object) -> Iterator[str]:
    """The texts of an option that may be given once or several times."""
    for item in value if isinstance(value, tuple) else (value,):
        if isinstance(item, str):
            yield item


def _named(param: click.Parameter) -> str:
    return param.opts[0] if isinstance(param, click.Option) else f"the argument {param.human_readable_name}"


def _check_job(name: str, job_id: str) -> None:
    try:
        check_job_id(job_id)
    except ValueError as error:
        raise SettingsError(f"{name}: {str(error).removeprefix('job_id: ')}") from None


def is_given(field: str) -> bool:
    """Whether the user gave this setting to the running command, as a flag or a variable."""
    source = click.get_current_context().get_parameter_source(field)
    return source is not click.core.ParameterSource.DEFAULT or env_name(field) in os.environ


def _option(field: str, help_text: str) -> Callable[[Command], Command]:
    info = Settings.model_fields[field]
    text = help_text or (info.description or "")[:1].upper() + (info.description or "")[1:] + "."
    choices = (
        [str(word) for word in get_args(info.annotation)]
        if field in ("log_format", "log_level", "on_lost_offsets", "prepared_statements")
        else None
    )
    return click.option(
        f"--{field.replace('_', '-')}",
        field,
        default=None,
        type=click.Choice(choices) if choices else str,
        metavar=None if choices else "VALUE",
        help=f"{text} [env: {env_name(field)}]{shown_default(field)}",
    )


def shown_default(field: str) -> str:
    """The default of a setting for its help text; empty if it has none or is a secret."""
    default = Settings.model_fields[field].default
    if default is None or field == "database_url":
        return ""
    return f" [default: {default:g}]" if isinstance(default, float) else f" [default: {default}]"


class _Age(click.ParamType[int]):
    """A length of time, in seconds."""

    name = "AGE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds; raises `SettingsError`, which says what is allowed."""
        try:
            return value if isinstance(value, int) else parse_duration(str(value))
        except ValueError as error:
            raise SettingsError(f"{_named(param) if param else 'the age'}: {error}") from None


AGE: Final = _Age()
json_flag = click.option("--json", "as_json", is_flag=True, help="Print one JSON document to stdout, for programs.")
