"""`jobstatus status`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from threading import Event
from typing import Final

import click

from jobstatus_consumer.cli.options import json_flag, with_settings
from jobstatus_consumer.cli.session import say, stopping
from jobstatus_consumer.cli.show import status as screen
from jobstatus_consumer.cli.show.live import LiveScreen
from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import JobStatusError, SettingsError, StopRequestedError
from jobstatus_consumer.kafka import GuardedCoordinator, Topics
from jobstatus_consumer.operations import StatusReport, look

PATIENCE: Final = 2.0
"""Seconds for which a question to the broker is asked again."""
LOOK_EVERY: Final = 2.0
"""Seconds between two looks with `--watch`."""


@click.command("status")
@with_settings("topic", "group_id", "dlq_topic", "database_url", "table", "target", "statuses")
@click.option(
    "--watch",
    is_flag=True,
    help="Look again every 2 s, until Ctrl-C: redrawn in a terminal. With --json: one document a line.",
)
@click.option(
    "--fail-if-lag-seconds",
    type=click.FloatRange(0),
    metavar="N",
    help="Exit with 1 if the oldest event that is not written is older than N seconds, or if that is not known.",
)
@json_flag
def command(settings: Settings, watch: bool, fail_if_lag_seconds: float | None, as_json: bool) -> None:
    """Show what is not written yet, who reads it, what is waited for, and the number of rows by status.

    The lag counts what the table itself lacks, not only what the group has not committed. If broker or database does
    not answer, the other half is shown all the same.

    Exit code 1: one of the two did not answer, or the lag is over the limit.
    """
    settings.bootstrap_servers, settings.database  # noqa: B018 - both must be set
    if watch and fail_if_lag_seconds is not None:
        raise SettingsError("--watch and --fail-if-lag-seconds do not go together")
    with stopping() as stop:
        if watch:
            # it runs for days, and asking about the group may end the process that asks
            with GuardedCoordinator(settings) as coordinator:
                _watch(settings, Topics(settings, patience=PATIENCE, coordinator=coordinator), stop, as_json=as_json)
            return
        report = look(settings, Topics(settings, patience=PATIENCE), stop.is_set)
    _print(settings, report, as_json=as_json)
    for problem in report.problems:
        say(str(problem))
    _fail_if_late(report, fail_if_lag_seconds)
    sys.exit(1 if report.problems else 0)


def _watch(settings: Settings, topics: Topics, stop: Event, *, as_json: bool) -> None:
    if as_json or not sys.stdout.isatty():
        for report in _reports(settings, topics, stop):
            _print(settings, report, as_json=as_json)
            if not as_json:
                click.echo("".join(f"{problem}\n" for problem in report.problems))
        return
    with LiveScreen(settings) as drawn:
        for report in _reports(settings, topics, stop):
            drawn.show(report)
    if drawn.last is not None:
        # the terminal shows again what it showed before, so the last overview is left below it
        _print(settings, drawn.last, as_json=False)


def _reports(settings: Settings, topics: Topics, stop: Event) -> Iterator[StatusReport]:
    """A report every `LOOK_EVERY` seconds, until a stop."""
    while not stop.is_set():
        try:
            yield look(settings, topics, stop.is_set)
        except StopRequestedError:
            return
        stop.wait(LOOK_EVERY)


def _print(settings: Settings, report: StatusReport, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(screen.as_dict(settings, report)))
    else:
        screen.show(settings, report)


def _fail_if_late(report: StatusReport, limit: float | None) -> None:
    if limit is None or report.problems:
        return
    age = report.lag_seconds
    if age is None:
        raise JobStatusError("the age of the oldest unwritten event is not known")
    if age > limit:
        raise JobStatusError(f"the oldest unwritten event is {age:,.1f} s old; the limit is {limit:g} s")
