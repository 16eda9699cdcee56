"""`jobstatus topics create`."""

from __future__ import annotations

import json

import click

from jobstatus_consumer.cli.options import json_flag, with_settings
from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import StartError
from jobstatus_consumer.kafka.topics import Topics, dead_letters_plan, events_plan, unfit
from jobstatus_consumer.words import counted


@click.group("topics")
def command() -> None:
    """The events' topic and the dead letters' topic."""


@command.command("create")
@with_settings("topic", "dlq_topic")
@click.option(
    "--partitions",
    type=click.IntRange(1, 10_000),
    default=6,
    show_default=True,
    help="Number of partitions of each topic. At most this many consumers can share the work.",
)
@click.option(
    "--replication",
    type=click.IntRange(1, 32_767),
    default=None,
    help="Number of copies of each partition. [default: 3, or the number of brokers if lower]",
)
@click.option(
    "--retention-days",
    type=click.FloatRange(0, min_open=True),
    default=7.0,
    show_default=True,
    help="How many days events are kept. A replay cannot reach further back.",
)
@click.option(
    "--dlq-retention-days",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    show_default=True,
    help="How many days dead letters are kept.",
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
    """Create both topics. A topic that exists is left unchanged, and refused if it is compacted."""
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
            outcome = (
                f"made with {counted(partitions, 'partition')}, {counted(copies, 'copy', 'copies')}"
                if made[plan.name]
                else "there already, left as it is"
            )
            click.echo(f"{plan.name}: {outcome}")
    if as_json:
        click.echo(json.dumps({"created": made}))
