"""`jobstatus topics create`."""

from __future__ import annotations

import json

import click

from jobstatus_consumer.cli.options import json_flag, with_settings
from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import StartError
from jobstatus_consumer.kafka.topics import Topics, dead_letters_plan, events_plan, unfit


@click.group("topics")
def command() -> None:
    """The topic of the events and the topic of their dead letters."""


@command.command("create")
@with_settings("topic", "dlq_topic")
@click.option(
    "--partitions",
    type=click.IntRange(1, 10_000),
    default=6,
    show_default=True,
    help="Partitions of each topic: the most consumers that can share the work.",
)
@click.option(
    "--replication",
    type=click.IntRange(1, 32_767),
    default=None,
    help="Copies of each partition. [default: 3, or as many as there are brokers]",
)
@click.option(
    "--retention-days",
    type=click.FloatRange(0, min_open=True),
    default=7.0,
    show_default=True,
    help="How long events stay, and so how far back a replay reaches.",
)
@click.option(
    "--dlq-retention-days",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    show_default=True,
    help="How long dead letters stay.",
)
@json_flag
def create(
    settings: Settings,
    partitions: int,
    replication: int | None,
    retention_days: float,
    dlq_retention_days: float,
    as_json: bool,
) -> None:
    """Make both topics. One that is there is left as it is, and refused where it is not fit."""
    topics = Topics(settings)
    copies = replication or min(3, topics.brokers())
    made = {}
    for plan in (
        events_plan(settings, partitions, copies, retention_days),
        dead_letters_plan(settings, partitions, copies, dlq_retention_days),
    ):
        made[plan.name] = topics.create(plan)
        trouble = None if made[plan.name] else unfit(topics.describe(plan.name), plan.name)
        if trouble:
            raise StartError(trouble)
        if not as_json:
            said = (
                f"made with {partitions} partitions, {copies} copies"
                if made[plan.name]
                else "there already, left as it is"
            )
            click.echo(f"{plan.name}: {said}")
    if as_json:
        click.echo(json.dumps({"created": made}))
