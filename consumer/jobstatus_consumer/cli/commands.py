"""The list of commands. A command's module is imported only when that command runs, so start-up stays quick."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import version
from typing import Final

import click

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "demo": ("demo", "Show the problem and its solution on a real Kafka and PostgreSQL."),
    "plan": ("plan", "Say how many consumers and which PostgreSQL a rate of events needs."),
    "topics": ("topics", "Create the topics, and add partitions."),
    "migrate": ("migrate", "Create the tables."),
    "check": ("check", "List every problem that keeps a consumer from working."),
    "grants": ("grants", "Print the rights in PostgreSQL that each role needs."),
    "acls": ("acls", "Print the rights on the broker that each client needs."),
    "consume": ("consume", "Run a consumer: write the topic's events to the table."),
    "schema": ("schema", "Show the event's schema; register it in a schema registry."),
    "emit": ("emit", "Report a job's status from a shell."),
    "run": ("run", "Run a command and report its status as a job."),
    "spool": ("spool", "List the events that workers have spooled, and send them."),
    "replay": ("replay", "Apply events of the topic again, to the table or to a new one."),
    "dlq": ("dlq", "List dead letters; apply them again after the cause is fixed."),
    "target": ("target", "Write a table of your own: make its file, show its SQL, mend its rows."),
    "offsets": ("offsets", "Show the group's offsets; move them while it has no members."),
    "verify": ("verify", "Compare every row with the topic; repair rows that differ."),
    "history": ("history", "Explain why a job is in its state."),
    "purge": ("purge", "Remove finished rows that are old; what was purged stays purged."),
    "wait": ("wait", "Wait until a job has a status."),
    "stuck": ("stuck", "List jobs that have been silent in a status for too long."),
    "console": ("console", "Serve pages for a browser: the overview, jobs, dead letters."),
    "status": ("status", "Show the group's lag and the number of rows by status."),
}
"""For each command: its module, and its line in the list of commands."""


class LazyGroup(click.Group):
    """A group that imports a command's module when the command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which a new user needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of this command and return the command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"jobstatus_consumer.cli.{COMMANDS[cmd_name][0]}")
        found: click.Command = module.command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from `COMMANDS`: importing them all would need every extra."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _show_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    # the codec is loaded for this, which no other use of this module needs
    from jobstatus_schemas.built import built

    click.echo(f"jobstatus, version {version('jobstatus')}, {built()}")
    ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version, compiled or pure, and exit.",
)
def main() -> None:
    """Job status updates through Kafka into PostgreSQL: micro-batched, replayable, nothing lost."""
