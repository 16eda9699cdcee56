"""`jobstatus console`."""

from __future__ import annotations

from threading import Event

import click

from jobstatus_consumer.cli.options import AGE, with_settings
from jobstatus_consumer.cli.session import say, show_values_flag
from jobstatus_consumer.config import Settings
from jobstatus_consumer.console import ConsoleServer, Options, serve
from jobstatus_consumer.durations import ALLOWED
from jobstatus_consumer.signals import handled_by, stop_once


@click.command("console")
@with_settings(
    "topic",
    "group_id",
    "dlq_topic",
    "database_url",
    "table",
    "target",
    "statuses",
    "deadlines",
    "console_address",
    "console_token_file",
    "console_user_header",
    "console_hosts",
)
@click.option(
    "--verify-every",
    type=AGE,
    default=None,
    metavar="AGE",
    help=f"Compare the table with the log so often, in the background: {ALLOWED}.",
)
@click.option(
    "--allow-actions", is_flag=True, help="Let users change something: redrive, repair, replay, undo, purge, offsets."
)
@show_values_flag
def command(settings: Settings, verify_every: int | None, allow_actions: bool, show_values: bool) -> None:
    """Serve pages for a browser, and the same as JSON under /api/, until SIGTERM or SIGINT.

    The console joins no group and only reads; its role needs SELECT on the tables alone. While Kafka or the database
    is unavailable, the pages show what was last known, and since when.

    Only this machine can ask, unless --console-address says otherwise; then a token or a proxy's user header is needed.
    """
    settings.bootstrap_servers, settings.database  # noqa: B018 - both must be set
    server = ConsoleServer(settings, Options(show_values, allow_actions, verify_every))
    stop = Event()
    with handled_by(stop_once(stop)):
        say(f"the console is at {server.url}")
        serve(server, stop)
