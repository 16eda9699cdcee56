"""`jobstatus consume`."""

from __future__ import annotations

import json

import click

from jobstatus_consumer.cli.options import is_given, json_flag, with_settings
from jobstatus_consumer.cli.session import already
from jobstatus_consumer.config import Settings
from jobstatus_consumer.operations import count_open_letters
from jobstatus_consumer.stream import ConsumeOptions, consume
from jobstatus_consumer.words import counted


@click.command("consume")
@with_settings(
    "topic",
    "group_id",
    "database_url",
    "table",
    "deadlines",
    "target",
    "waiting_budget",
    "statuses",
    "batch_max_events",
    "batch_max_bytes",
    "batch_linger_seconds",
    "batch_flush",
    "batches_in_flight",
    "dlq_topic",
    "dlq_budget_in_a_row",
    "dlq_budget_percent",
    "wait_for_database",
    "on_lost_offsets",
    "http_address",
)
@click.option(
    "--until-caught-up",
    is_flag=True,
    help="Write every event that is in the topic now, print a summary, and exit with 0.",
)
@click.option(
    "--clear-dlq-budget",
    is_flag=True,
    help="Reset the count of dead letters. Use it after you have dealt with those that stopped the consumer.",
)
@json_flag
def command(settings: Settings, until_caught_up: bool, clear_dlq_budget: bool, as_json: bool) -> None:
    """Run as a member of the consumer group: write the topic's events in micro-batches until SIGTERM or SIGINT.

    Offsets are committed only after the write. While the database is unavailable, the consumer waits without a limit.
    """
    options = ConsumeOptions(until_caught_up, clear_dlq_budget, is_given("http_address"))
    summary = consume(settings, options, count_letters=lambda stop: count_open_letters(settings, stop))
    with already("the events that were written are committed"):
        if as_json:
            click.echo(json.dumps(summary.as_dict()))
        elif until_caught_up:
            click.echo(
                f"{counted(summary.events, 'event')} in {counted(summary.batches, 'batch', 'batches')}: "
                f"{summary.applied} applied, {summary.merged} merged, {summary.stale} stale, "
                f"{counted(summary.dead_letters, 'dead letter')}\n"
                f"{summary.seconds:.1f} s, {summary.events_per_second:,.0f} events/s"
            )
