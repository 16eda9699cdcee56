"""Flags out of the settings' own declaration, and the settings out of flags and environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, get_args

import click

from jobstatus_consumer import logs
from jobstatus_consumer.config import Settings, env_name, load_settings

Command = TypeVar("Command", bound=Callable[..., Any])


def with_settings(*fields: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add a flag for each of `fields`, `--bootstrap-servers` and `--kafka`; the command gets `settings` first."""
    wanted = (*fields, "log_format", "log_level")

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def run(**given: Any) -> Any:
            flags = {field: given.pop(field) for field in wanted}
            flags["kafka"] = _kafka_flags(given.pop("kafka"), given.pop("bootstrap_servers"))
            settings = load_settings(os.environ, flags)
            logs.set_up(settings.log_format, settings.log_level)
            return command(settings, **given)

        for field in reversed(wanted):
            run = _option(field)(run)
        run = click.option("--kafka", multiple=True, metavar="NAME=VALUE",
                           help="One of librdkafka's properties. [env: JOBSTATUS_KAFKA_<NAME>]")(run)  # fmt: skip
        return click.option("--bootstrap-servers", metavar="HOST:PORT,...",
                            help="The brokers. [env: JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS]")(run)  # fmt: skip

    return decorate


def _option(field: str) -> Callable[[Command], Command]:
    info = Settings.model_fields[field]
    text = (info.description or "")[:1].upper() + (info.description or "")[1:] + "."
    choices = (
        [str(word) for word in get_args(info.annotation)]
        if field in ("log_format", "log_level", "on_lost_offsets")
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
    """The default of a setting as the help shows it; nothing where it has none or is a secret."""
    default = Settings.model_fields[field].default
    if default is None or field == "database_url":
        return ""
    return f" [default: {default:g}]" if isinstance(default, float) else f" [default: {default}]"


def _kafka_flags(pairs: tuple[str, ...], bootstrap_servers: str | None) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--kafka {pair}: wanted NAME=VALUE, such as --kafka session.timeout.ms=10000")
        found[name] = value
    if bootstrap_servers:
        found["bootstrap.servers"] = bootstrap_servers
    return found


json_flag = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, for programs.")
