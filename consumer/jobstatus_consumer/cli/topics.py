"""`jobstatus topics create` and `topics alter`."""

from __future__ import annotations

import json

import click

from jobstatus_consumer.cli.auditing import noted
from jobstatus_consumer.cli.options import json_flag, with_settings
from jobstatus_consumer.cli.session import agreed, already, dry_run_flag, say, yes_flag
from jobstatus_consumer.config import USUAL_PARTITIONS, Settings
from jobstatus_consumer.errors import StartError
from jobstatus_consumer.kafka import TopicPlan, Topics, dead_letters_plan, events_plan, unfit
from jobstatus_consumer.words import counted


@click.group("topics")
def command() -> None:
    """The events' topic and the dead letters' topic."""


@command.command("create")
@with_settings("topic", "dlq_topic")
@click.option(
    "--partitions",
    type=click.IntRange(1, 10_000),
    default=USUAL_PARTITIONS,
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
    """Create both topics. A topic that exists is left unchanged, and refused if it is compacted.

    If it has another number of partitions than --partitions says, that is reported.
    """
    topics = Topics(settings)
    copies = replication or min(3, topics.brokers())
    made, counts = {}, {}
    for plan in (
        events_plan(settings, partitions, copies, retention_days),
        dead_letters_plan(settings, partitions, copies, dlq_retention_days),
    ):
        made[plan.name] = topics.create(plan)
        facts = None if made[plan.name] else topics.describe(plan.name)
        trouble = None if made[plan.name] else unfit(facts, plan.name)
        if trouble:
            raise StartError(trouble)
        counts[plan.name] = partitions if facts is None else facts.partitions
        if not as_json:
            click.echo(f"{plan.name}: {_outcome(plan, made[plan.name], counts[plan.name])}")
    if as_json:
        other = {name: count for name, count in counts.items() if count != partitions}
        click.echo(json.dumps({"created": made, **({"partitions": other} if other else {})}))


def _outcome(plan: TopicPlan, made: bool, partitions: int) -> str:
    if made:
        return f"made with {counted(partitions, 'partition')}, {counted(plan.replication, 'copy', 'copies')}"
    if partitions == plan.partitions:
        return "there already, left as it is"
    more = f"\n  to add partitions: jobstatus topics alter --partitions {plan.partitions}"
    has = f"there already with {counted(partitions, 'partition')}, not {plan.partitions}; left as it is"
    return has + (more if partitions < plan.partitions else "")


@command.command("alter")
@with_settings("topic", "database_url", "table")
@click.option("--partitions", type=click.IntRange(1, 10_000), required=True, help="The new number of partitions.")
@dry_run_flag
@yes_flag
@json_flag
def alter(settings: Settings, partitions: int, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Add partitions to the events' topic. Running consumers read them within 30 s; no partition can be removed.

    Later events of a job may go to another partition than its earlier ones. Between two partitions the log gives no
    order: an event then wins by a higher attempt or a later time, so a row never returns to an older state, but an
    event with a clock that is behind may not count. To avoid that, stop the workers until the lag is 0, then alter.

    The database is needed for the audit log alone.
    """
    topics = Topics(settings)
    facts = topics.describe(settings.topic)
    if facts is None:
        raise StartError(f"the topic {settings.topic} is not there; make it: jobstatus topics create")
    if partitions < facts.partitions:
        raise StartError(
            f"the topic {settings.topic} has {counted(facts.partitions, 'partition')}, and Kafka cannot remove any. "
            "Nothing was changed"
        )
    is_same = partitions == facts.partitions
    if not is_same and not dry_run:
        say(f"{settings.topic} has {counted(facts.partitions, 'partition')}")
        say("later events of a job may go to another partition than its earlier ones:")
        say("between the two a higher attempt or a later time decides, not the log")
        agreed(f"Give {settings.topic} {counted(partitions, 'partition')} now?", yes=yes)
        with noted(settings, "topics alter", {"topic": settings.topic, "from": facts.partitions, "to": partitions}):
            topics.add_partitions(settings.topic, partitions)
    with already("" if dry_run or is_same else f"{settings.topic} has {counted(partitions, 'partition')}"):
        if as_json:
            click.echo(json.dumps({"dry_run": dry_run, "from": facts.partitions, "to": partitions}))
        elif is_same:
            click.echo(f"{settings.topic}: {counted(partitions, 'partition')} already; nothing to do")
        else:
            would = "would get" if dry_run else "has now"
            was = counted(facts.partitions, "partition")
            click.echo(f"{settings.topic}: {would} {counted(partitions, 'partition')}; before: {was}")
