"""A line of the command line, parsed without being run."""

from __future__ import annotations

from collections.abc import Sequence

import click
from support.generate_docs import root


def parse(arguments: Sequence[str]) -> click.Command:
    """The command that these words would run; whatever is wrong in them is raised."""
    context, rest = root(), list(arguments)
    while isinstance(context.command, click.Group):
        name, command, rest = context.command.resolve_command(context, rest)
        assert command is not None
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=name, parent=context)
        else:
            context = command.make_context(name, rest, parent=context)
    return context.command
