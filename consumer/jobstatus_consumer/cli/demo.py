"""`jobstatus demo`."""

from __future__ import annotations

import json
import sys
from typing import Final

import click

from jobstatus_consumer.cli.options import json_flag
from jobstatus_consumer.errors import SettingsError, StartError

LEFT_OUT: Final = "the container image has no demo, so nothing was started; in a checkout, type: make demo"


@click.command("demo")
@click.option(
    "--jobs",
    type=click.IntRange(100, 100_000),
    default=3957,
    show_default=True,
    help="How many jobs there are; each has three updates.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=16,
    show_default=True,
    help="How many processes report the updates.",
)
@click.option(
    "--work-seconds",
    type=click.FloatRange(1, 3600),
    default=8.0,
    show_default=True,
    help="How long the workers work if nothing delays them.",
)
@click.option(
    "--before-seconds",
    type=click.FloatRange(0.5, 3600),
    default=8.0,
    show_default=True,
    help="When to cut the first part short; it is a sample then.",
)
@click.option(
    "--keep",
    is_flag=True,
    help="Leave the topic and the tables on your own servers. Servers that the demo has started run on until Ctrl-C, "
    "with a console over them.",
)
@json_flag
def command(jobs: int, workers: int, work_seconds: float, before_seconds: float, keep: bool, as_json: bool) -> None:
    """See the crisis and its end: workers report, first with a connection for every update, then through jobstatus.

    The demo starts a real Kafka and a real PostgreSQL. If JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS or JOBSTATUS_DATABASE_URL
    is set, it uses that server instead, with a topic and tables of its own, and removes them at the end. It kills the
    consumer half way. Exit code 1: an update was lost, a row went back, a bound was broken, or a server is missing.
    """
    try:
        from jobstatus_demo.errors import DemoError
    except ModuleNotFoundError as error:
        if error.name != "jobstatus_demo":
            raise
        raise StartError(LEFT_OUT) from error
    from jobstatus_demo.plan import Plan
    from jobstatus_demo.report import Report
    from jobstatus_demo.run import run_demo
    from jobstatus_demo.show import Show, console

    show = Show(console(stderr=as_json))

    def shown(report: Report) -> None:
        if as_json:
            click.echo(json.dumps(report.as_dict()))
        else:
            show.report(report)

    try:
        report = run_demo(Plan(jobs, workers, work_seconds, before_seconds), show, keep=keep, shown=shown)
    except DemoError as error:
        raise (SettingsError if error.exit_code == 2 else StartError)(str(error)) from error
    sys.exit(0 if report.ok else 1)
