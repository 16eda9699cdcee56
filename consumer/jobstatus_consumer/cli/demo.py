"""`jobstatus demo`."""

from __future__ import annotations

import json
import sys

import click

from jobstatus_consumer.cli.options import json_flag


@click.command("demo")
@click.option(
    "--jobs",
    type=click.IntRange(100, 100_000),
    default=3957,
    show_default=True,
    help="How many jobs; each has three updates.",
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=16, show_default=True, help="How many processes report them."
)
@click.option(
    "--work-seconds",
    type=click.FloatRange(1, 3600),
    default=8.0,
    show_default=True,
    help="How long the workers work, if nothing holds them up.",
)
@click.option(
    "--before-seconds",
    type=click.FloatRange(0.5, 3600),
    default=8.0,
    show_default=True,
    help="When to cut the first part short, which then is a sample.",
)
@click.option("--keep", is_flag=True, help="Leave the topic and the tables on your own servers, to look at them.")
@json_flag
def command(jobs: int, workers: int, work_seconds: float, before_seconds: float, keep: bool, as_json: bool) -> None:
    """See the crisis and its end: workers report, with a connection for every update and then through jobstatus.

    It starts a real Kafka and a real PostgreSQL; JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS and JOBSTATUS_DATABASE_URL, where
    set, are used instead, with a topic and tables of the demo's own, removed afterwards. The consumer is killed half
    way. Exit code 1 if anything was lost or went back, or if it took more than it may.
    """
    from jobstatus_demo.plan import Plan
    from jobstatus_demo.run import run_demo
    from jobstatus_demo.show import Show, console

    show = Show(console(stderr=as_json))
    report = run_demo(Plan(jobs, workers, work_seconds, before_seconds), show, keep=keep)
    if as_json:
        click.echo(json.dumps(report.as_dict()))
    else:
        show.report(report)
    sys.exit(0 if report.ok else 1)
