"""The command line. Each command is a module that is loaded when it is called, so that none pays for another."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Final

import click

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "demo": ("demo", "See the crisis and its end, on a real Kafka and a real PostgreSQL."),
    "topics": ("topics", "Make the topics."),
    "migrate": ("migrate", "Make the tables."),
    "check": ("check", "List everything that keeps a consumer from working."),
    "consume": ("consume", "Be a member of the consumer group."),
    "emit": ("emit", "Report a status from a shell."),
    "run": ("run", "Run a command, and report what becomes of it."),
    "spool": ("spool", "See what workers have spooled, and send it."),
    "replay": ("replay", "Read a stretch of the log again, into the table or into a new one."),
    "dlq": ("dlq", "See dead letters, and apply them once their cause is mended."),
    "offsets": ("offsets", "See the group's offsets, and move them while nobody is in it."),
    "verify": ("verify", "Hold every row against the log, and mend what differs."),
    "history": ("history", "Why is this job in this state?"),
    "status": ("status", "Show the group's lag and the rows by status."),
}
"""Command to module and the line of help that the list shows without loading it."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which one needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"jobstatus_consumer.cli.{COMMANDS[cmd_name][0]}")
        found: click.Command = module.command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table above: loading all of them would need every extra."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="jobstatus", prog_name="jobstatus")
def main() -> None:
    """Job status updates through Kafka into PostgreSQL: micro-batched, replayable, nothing lost."""
