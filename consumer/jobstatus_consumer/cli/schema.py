"""`jobstatus schema show|register|check`: the event's schema, and what a schema registry has of it."""

from __future__ import annotations

import json
import sys
from typing import Final

import click
from jobstatus_schemas import plain_schema_text, schema_text
from jobstatus_schemas.protocol import SUBJECT_STRATEGIES
from jobstatus_schemas.registry.settings import RegistrySettings

from jobstatus_consumer.cli.options import json_flag, with_settings
from jobstatus_consumer.cli.session import agreed, dry_run_flag, say, yes_flag
from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import SettingsError, StartError
from jobstatus_consumer.registry import SubjectState, register, state_of, subject_name

STRATEGY: Final = "JOBSTATUS_SCHEMA_SUBJECT_STRATEGY"
_strategy = click.option(
    "--subject-strategy",
    "strategy",
    type=click.Choice(SUBJECT_STRATEGIES),
    default="topic",
    show_default=True,
    envvar=STRATEGY,
    help=f"How the subject is named: topic-value, the record's name, or topic-record. [env: {STRATEGY}]",
)


@click.group("schema")
def command() -> None:
    """Show the event's Avro schema; register it in a schema registry, or check what is there.

    The registry is that of JOBSTATUS_SCHEMA_REGISTRY_URL; its libraries are in jobstatus[registry].
    """


@command.command("show")
@with_settings("topic")
@_strategy
@click.option("--plain", is_flag=True, help="Without logical types, for libraries that count them as another schema.")
@json_flag
def show(settings: Settings, strategy: str, plain: bool, as_json: bool) -> None:
    """Print the event's schema to stdout, and to stderr what the registry has of it, if one is set."""
    text = plain_schema_text() if plain else schema_text()
    state = None if settings.registry is None else state_of(settings.registry, subject_name(strategy, settings.topic))
    if as_json:
        click.echo(json.dumps({"schema": json.loads(text), "registry": state and state.as_dict()}))
        return
    click.echo(text.rstrip())
    if state is not None:
        say(_line(state))


@command.command("register")
@with_settings("topic")
@_strategy
@dry_run_flag
@yes_flag
@json_flag
def register_schema(settings: Settings, strategy: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Register the event's schema, so that workers with JOBSTATUS_FORMAT=confluent find its id.

    It is registered with its logical types. If it is there already, nothing is changed; if the registry calls it
    incompatible with the newest version there, it is not registered, and the exit code is 1.
    """
    registry, subject = _registry(settings), subject_name(strategy, settings.topic)
    state = state_of(registry, subject)
    if state.id is None and not state.is_compatible:
        raise StartError(
            f"the registry calls the schema incompatible with version {state.latest_version} of {subject}. Nothing was "
            "registered. Look at that version, or register under another subject with --subject-strategy"
        )
    if state.id is None and not dry_run:
        agreed(f"Register the event's schema under {subject} at {registry.name}?", yes=yes)
        register(registry, subject)
        state = state_of(registry, subject)
    _print(state, as_json=as_json)


@command.command("check")
@with_settings("topic")
@_strategy
@json_flag
def check_schema(settings: Settings, strategy: str, as_json: bool) -> None:
    """Say whether the schema is registered, and whether a consumer can read the newest version of the subject.

    Exit code 0: both; 1: not.
    """
    state = state_of(_registry(settings), subject_name(strategy, settings.topic))
    _print(state, as_json=as_json)
    sys.exit(1 if state.problems else 0)


def _registry(settings: Settings) -> RegistrySettings:
    if settings.registry is None:
        raise SettingsError("JOBSTATUS_SCHEMA_REGISTRY_URL is not set; give the registry as http://host:port")
    return settings.registry


def _print(state: SubjectState, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(state.as_dict()))
        return
    click.echo(_line(state))
    for problem in state.problems:
        click.echo(f"  - {problem}")


def _line(state: SubjectState) -> str:
    if state.id is None:
        return f"{state.subject}: the event's schema is not registered"
    return f"{state.subject}: the event's schema is id {state.id}, version {state.version} of {state.latest_version}"
