"""Writes the pages of docs/ that are made from the code: `python -m tests.support.generate_docs`.

tests/contract/test_docs.py holds the committed pages to what this would write.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import click
from jobstatus_consumer.cli.commands import main as command_line
from jobstatus_consumer.cli.options import shown_default
from jobstatus_consumer.config import (
    FIXED_KAFKA,
    OTHER_FIELDS,
    PATTERNS_IN_WORDS,
    WITHOUT_FLAG,
    Settings,
    allowed_values,
    env_name,
)
from jobstatus_consumer.telemetry.console_metrics import ConsoleMetrics
from jobstatus_consumer.telemetry.declaring import Declaring
from jobstatus_consumer.telemetry.http import CONNECTIONS, REQUEST_SECONDS
from jobstatus_consumer.telemetry.metrics import Metrics
from jobstatus_producer.prometheus import BUILD, COUNTERS, GAUGES, PREFIX
from jobstatus_producer.settings import FIXED, REFUSED, ProducerSettings
from jobstatus_schemas.registry.settings import MEANING, SECRETS, variable

from .frameworks_page import INTRO, OUTRO, tables
from .generate_models import MODELS
from .rights import page_lines, without_rights

ROOT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = ROOT / "docs"
VERSIONS: Final = Path(__file__).with_name("versions.json")
WIDTH: Final = 100
MADE: Final = "<!-- made from the code: python -m tests.support.generate_docs -->"

PRODUCER_MEANING: Final[Mapping[str, str]] = {
    "topic": "the topic to report to",
    "statuses": "the allowed words, separated by commas; all if not set",
    "worker_id": "who reports, where a call does not say it",
    "spool_dir": "a folder that keeps what cannot be delivered now, also after a crash; none if not set",
    "spool_max_bytes": "how large it may grow (a tenth more by refused events); beyond it, `BufferFullError`",
    "durable": "write every event to the spool before the call returns, also while the broker answers",
    "max_pending_events": "how many events may wait for their acknowledgement in memory",
    "max_pending_bytes": "how many bytes these may have in all (the Kafka client holds a copy of them)",
    "max_block_seconds": "longest wait of a call for room or the spool's disk; if not set 5, with a spool 0",
    "wait_seconds": "how long `wait=True` waits for the broker's acknowledgement",
    "close_seconds": "how long `close`, `flush` and the end of the process try to deliver what is left",
    "format": "`single-object` or `confluent`; the second needs a schema registry",
    "schema_subject_strategy": "the schema's subject: `topic` for `<topic>-value`, `record`, or `topic_record`",
    "schema_auto_register": "register the schema where the subject does not have it",
}
"""The producer's fields have no description of their own; `kafka` and `traceparent` are no settings of ours."""


def settings_page() -> str:
    """docs/settings.md."""
    return _page(
        "# Settings",
        "A setting is a flag or an environment variable; the flag wins.",
        "An unknown name that begins with `JOBSTATUS_` is an error at the start; so is a value that is not allowed.",
        "An empty variable counts as not set.",
        "",
        "## The consumer and its commands",
        "",
        *_table(("variable", "flag", "default", "meaning"), _consumer_rows()),
        "",
        "## The producer",
        "",
        "A worker reads environment variables only; `ProducerSettings` takes the same names in lower case.",
        "",
        *_table(("variable", "default", "meaning"), _producer_rows()),
        "",
        "If `TRACEPARENT` is set, every event has it in the header `traceparent`.",
        "",
        "## The schema registry",
        "",
        "These variables are for the consumer, its commands, and a worker with `JOBSTATUS_FORMAT=confluent`.",
        "[The schema registry](how-to/schema-registry.md) says what they are for.",
        "",
        *_table(("variable", "meaning"), _registry_rows()),
        "",
        "## The local servers of the demo and the tests",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
        "| `JOBSTATUS_LOCAL_CACHE` | `.cache/jars` of the checkout | where the broker's Java archives are kept |",
        "",
        "## Kafka's own properties",
        "",
        "`JOBSTATUS_KAFKA_<NAME>` sets a property of librdkafka: its name in upper case, with underscores for dots.",
        "`JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS` must be set; `--bootstrap-servers` is its flag.",
        "`--kafka NAME=VALUE` sets any other property for a command; it may be given several times.",
        "`JOBSTATUS_KAFKA_<NAME>_FILE` names a file that holds the value, such as a mounted secret.",
        "The file is read again for each new client, so the secret may be replaced while a process runs.",
        "",
        "The guarantees need these values, so another one is refused:",
        "",
        *_table(("side", "property", "allowed"), _fixed_rows()),
        "",
        "These properties are refused; set what the last column names:",
        "",
        *_table(("side", "property", "instead"), _refused_rows()),
    )


def _consumer_rows() -> Iterator[tuple[str, ...]]:
    for name, info in Settings.model_fields.items():
        if name not in OTHER_FIELDS:
            default = shown_default(name).removeprefix(" [default: ").removesuffix("]")
            allowed = "" if name in PATTERNS_IN_WORDS else allowed_values(name)
            meaning = f"{info.description}{f' ({allowed})' if allowed else ''}"
            flag = "" if name in WITHOUT_FLAG else f"`--{name.replace('_', '-')}`"
            yield f"`{env_name(name)}`", flag, f"`{default}`" if default else "", meaning


def _producer_rows() -> Iterator[tuple[str, ...]]:
    defaults = {item.name: item.default for item in fields(ProducerSettings)}
    for name, meaning in PRODUCER_MEANING.items():
        default = defaults[name]
        shown = "" if default is None else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        yield f"`{env_name(name)}`", shown, meaning


def _registry_rows() -> Iterator[tuple[str, ...]]:
    for name, meaning in MEANING.items():
        in_file = f"; `{variable(name)}_FILE` names a file that holds it" if name in SECRETS else ""
        yield f"`{variable(name)}`", meaning + in_file


def _fixed_rows() -> Iterator[tuple[str, ...]]:
    for name, value in FIXED_KAFKA.items():
        yield "consumer", f"`{name}`", f"`{value}`"
    for name, values in FIXED.items():
        yield "producer", f"`{name}`", ", ".join(f"`{value}`" for value in values)


def _refused_rows() -> Iterator[tuple[str, ...]]:
    yield "consumer", "`group.id`", "`JOBSTATUS_GROUP_ID`"
    for name, why in REFUSED.items():
        yield "producer", f"`{name}`", why


def metrics_page() -> str:
    """docs/metrics.md."""
    return _page(
        "# Metrics",
        "A consumer answers at `/metrics` on `JOBSTATUS_HTTP_ADDRESS`, in Prometheus' format.",
        "`/livez` answers 200 while the consumer is alive, and 503 when only a restart helps.",
        "`/readyz` answers 200 while events are written as they come, and 503 while the writer waits.",
        f"A connection may stay open for {REQUEST_SECONDS:g} s, and {CONNECTIONS} may be open at once;"
        " beyond that a new one takes the place of the oldest.",
        "",
        "## The consumer",
        "",
        "Each has the labels `topic` and `group` beside its own; `process_*` has the process's memory, time and files.",
        "A gauge is read at the moment of the scrape; a partition's series ends when the partition is given up.",
        "[Alerts](how-to/alerts.md) says which of them wake somebody, and what to do then.",
        "",
        *_table(("name", "type", "labels", "meaning"), _declared(Metrics())),
        "",
        "## The producer",
        "",
        "`jobstatus_producer.prometheus.ProducerCollector` gives these to a worker's own registry;"
        " `stats()` gives the same numbers without Prometheus.",
        "Each of its numbers has the label `topic`; all producers of a process go into one collector:"
        " `ProducerCollector(one, other)`.",
        "",
        *_table(("name", "type", "meaning"), _producer_metrics()),
        "",
        "## The console",
        "",
        "`jobstatus console` answers at `/metrics` on its own address, to those who may ask it:"
        " [how to scrape it](how-to/console.md#metrics).",
        "Each has the labels `topic` and `group` beside its own; `process_*` has the process's memory, time and files.",
        "Only a console with `--verify-every` has the series `jobstatus_verify_*`.",
        "",
        *_table(("name", "type", "labels", "meaning"), _declared(ConsoleMetrics())),
    )


def _declared(metrics: Declaring) -> Iterator[tuple[str, ...]]:
    for name, kind, labels, meaning in metrics.described:
        yield f"`{name}`", kind, ", ".join(f"`{label}`" for label in labels), meaning


def _producer_metrics() -> Iterator[tuple[str, ...]]:
    yield from ((f"`{PREFIX}{name}_total`", "counter", text) for name, text in COUNTERS.items())
    yield from ((f"`{PREFIX}{name}`", "gauge", text) for name, text in GAUGES.items())
    yield f"`{PREFIX}build_info`", "gauge", f"{BUILD} (labels `version`, `built`)"


def command_line_page() -> str:
    """docs/reference/command-line.md."""
    lines = [
        "# The command line",
        "Exit codes: 0 done, 1 failed, 2 wrong usage.",
        "A program reads `--json` from stdout; log lines and complaints go to stderr.",
    ]
    for context in commands(root(terminal_width=WIDTH, max_content_width=WIDTH)):
        path = context.command_path
        lines += ["", f"## {path}", "", "```text", context.command.get_help(context).rstrip(), "```"]
    return _page(*lines)


def root(**settings: Any) -> click.Context:
    """The context of `jobstatus` itself; those of its commands hang below it, as they do in a run."""
    return click.Context(command_line, info_name="jobstatus", **{**command_line.context_settings, **settings})


def commands(context: click.Context) -> Iterator[click.Context]:
    """The contexts of this command and of every command below it."""
    yield context
    command = context.command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                yield from commands(click.Context(found, info_name=name, parent=context))


def frameworks_page() -> str:
    """docs/reference/frameworks.md, from what the tests have seen."""
    found = [("", f"## {title}", "", *_table(head, iter(rows))) for title, head, rows in tables()]
    return _page(
        "# Job frameworks, as the tests have seen them", *INTRO, *(line for part in found for line in part), *OUTRO
    )


def versions_page() -> str:
    """docs/reference/versions.md."""
    found = json.loads(VERSIONS.read_text("utf-8"))
    steps = list(next(iter(found.values())))
    return _page(
        "# Versions of Kafka and PostgreSQL",
        "`make matrix` runs each step on each version below, and writes this table.",
        "A version of Kafka runs with the newest PostgreSQL, and a version of PostgreSQL with the newest Kafka.",
        "The tests of every change run on the newest of both.",
        "",
        *_table(("version", *steps), ((row, *cells.values()) for row, cells in found.items())),
        "",
        "Where a step writes events, every row is compared with the log at its end.",
        "",
        "- *refused*: `jobstatus check` and `jobstatus consume` name what the version lacks, and nothing is written.",
        "- `group.protocol=consumer` (KIP-848) is there from Kafka 4.0 on;"
        " leave `JOBSTATUS_KAFKA_GROUP_PROTOCOL` out on an older one.",
        "- Kafka 3.7 to 3.9 have it as a preview, where the brokers set"
        " `group.coordinator.rebalance.protocols=classic,consumer`; that is not tested.",
        "- `jobstatus check` refuses a PostgreSQL older than 13.",
        "",
        "## Older brokers",
        "",
        "Every client of jobstatus is librdkafka, which itself speaks to brokers from 0.10 on without a setting.",
        "jobstatus needs more of a broker, and none older than 3.3 is tested:",
        "",
        "- headers and idempotent producers: 0.11",
        "- leader epochs, which find a log that lost its tail: 2.1",
        "- cooperative rebalances: 2.4",
        "- topic ids, which tell a topic from one that was made again under its name: 2.8",
        "",
        "Kafka 4.0 and newer refuse the requests of old clients; jobstatus installs no confluent-kafka below 2.13.2.",
    )


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _page(title: str, *lines: str) -> str:
    return "\n".join([title, "", MADE, "", *(line.rstrip() for line in lines)]) + "\n"


def rights_page() -> str:
    """docs/reference/rights.md."""
    return _page(
        "# Rights",
        "Which role in PostgreSQL and which client of the broker may run a command, and what the command needs.",
        "[`jobstatus grants`](command-line.md) prints the GRANTs of each role.",
        "`jobstatus acls` prints the ACLs of each client.",
        "[Secure a deployment](../how-to/secure.md) shows how to use them.",
        "",
        "The tests run every command below with exactly these rights, on a broker with `StandardAuthorizer`.",
        "They also run it without each of them: the command then fails, and names what is missing.",
        "A test compares these commands with those of the parser, so none is left out.",
        "",
        *page_lines(),
        "",
        "`READ`, `WRITE`, `DELETE` and `ALTER` include `DESCRIBE`.",
        "Each role also has USAGE on the schema and CONNECT on the database.",
        "`replay --name` also needs READ on the group of its checkpoint, `<group>.replay.<name>`.",
        "A command that changes something notes it in the table `_audit`.",
        "Without a right to write there it works too, and warns.",
        "Without a right to read there the console shows all but the page of what was changed.",
        "`target sync` also needs UPDATE on the mapped columns of your table; its dry run needs SELECT there.",
        "A console with `--allow-actions` needs the role and the client `operator`.",
        "It must be able to write in `_audit`: an action that cannot be noted is not done.",
        "",
        *without_rights(),
    )


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "settings.md": settings_page,
    "metrics.md": metrics_page,
    "reference/command-line.md": command_line_page,
    "reference/frameworks.md": frameworks_page,
    "reference/rights.md": rights_page,
    "reference/versions.md": versions_page,
}


def main() -> Any:
    """Write every page and every model."""
    for path, text in ({DOCS / name: page for name, page in PAGES.items()} | dict(MODELS)).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(), encoding="utf-8")
        sys.stderr.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
