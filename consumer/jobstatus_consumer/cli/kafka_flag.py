"""The flag `--kafka`. It stands apart from the settings of the consumer, whose import takes longer than `emit` does."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

_NAME = re.compile(r"[\w.-]+")


def kafka_properties(pairs: Sequence[str], example: str) -> dict[str, str]:
    """The properties given with `--kafka`, by name."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not _NAME.fullmatch(name):
            # never print what follows the name: it may be a password, which may itself contain an equals sign
            shown = re.split(r"[=:\s]", pair, maxsplit=1)[0]
            raise click.UsageError(f"--kafka {shown}: wanted NAME=VALUE, such as --kafka {example}")
        found[name] = value
    return found


kafka_flag = click.option(
    "--kafka",
    multiple=True,
    metavar="NAME=VALUE",
    help="A property of librdkafka. May be given again. [env: JOBSTATUS_KAFKA_<NAME>]",
)
