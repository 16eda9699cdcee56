"""What each command needs on the broker and in PostgreSQL, and the page that is made of it.

The tests hold a command to exactly this: it works with it, and fails without any part of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import click
from jobstatus_consumer.cli.commands import main
from jobstatus_consumer.config import Settings, load_settings
from jobstatus_consumer.kafka import PRINCIPALS, Right
from jobstatus_consumer.store import ROLES, TableName
from jobstatus_consumer.store.privileges import PURGES, READS, WRITES, Privileges

OPERATIONS: Final = ("CREATE", "ALTER", "READ", "WRITE", "DELETE", "DESCRIBE", "DESCRIBE_CONFIGS")
INCLUDE_DESCRIBE: Final = {"READ", "WRITE", "DELETE", "ALTER"}
"""Operations that a broker takes for DESCRIBE as well."""
READING: Final = ("READ", "DESCRIBE_CONFIGS")
Tables = Sequence[Privileges]
MAPPED: Final = "mapped"
"""The managed table of the commands with a target."""
OWN: Final = "orders"
"""The table of the user's own."""


class Case(NamedTuple):
    """A command, and what it needs. `tables` is in the order: the table, `_progress`, `_purged`, `_waiting`."""

    name: str
    arguments: tuple[str, ...]
    """with POSITION, NEW, JOB, STATUS, TARGET and SPOOL in place of what only a running test knows"""
    topic: tuple[str, ...] = ()
    letters: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()
    tables: Tables = ()
    creates: bool = False
    prepare: str = ""
    """the name of a step of the test before each run"""
    audit: Privileges = ()
    own: Privileges = ()
    """on columns of the user's own table, such as `SELECT (id)`"""

    @property
    def uses_database(self) -> bool:
        return bool(self.tables) or self.creates

    def rights(self, settings: Settings) -> list[Right]:
        """What it needs on the broker, an operation each."""
        checkpoints = f"{settings.group_id}.replay."
        return [
            *(Right.on_topic(settings.topic, name) for name in self.topic),
            *(Right.on_topic(settings.dead_letter_topic, name) for name in self.letters),
            *(Right.on_group(settings.group_id, name) for name in self.group),
            *(Right("group", checkpoints, (name,), prefixed=True) for name in self.checkpoints),
        ]

    def privileges(self, place: TableName) -> list[tuple[str, str]]:
        """What it needs in PostgreSQL, each as the privilege and what it is on."""
        schema = [("USAGE", "SCHEMA public"), *([("CREATE", "SCHEMA public")] if self.creates else [])]
        place = TableName.parse(MAPPED) if "TARGET" in self.arguments else place
        names = (place, place.progress, place.purged, place.waiting)
        needs = [*zip(names, self.tables, strict=False), (place.audit, self.audit), (TableName.parse(OWN), self.own)]
        tables = [(item, f"TABLE {name.name}") for name, items in needs for item in items]
        return [*schema, *tables] if self.uses_database else []


READER: Final = READS[:3]
WITH_TARGET: Final = ("--table", MAPPED, "--target", "TARGET")
WRITER: Final = WRITES[:3]
PURGER: Final = PURGES[:3]
DESCRIBE: Final = ("DESCRIBE",)

CASES: Final = (
    Case(
        "topics create",
        ("topics", "create"),
        ("CREATE", "DESCRIBE", "DESCRIBE_CONFIGS"),
        ("CREATE", "DESCRIBE", "DESCRIBE_CONFIGS"),
    ),
    Case("topics alter", ("topics", "alter", "--partitions", "NEW", "--yes"), ("ALTER", "DESCRIBE_CONFIGS")),
    Case("migrate", ("migrate", "--table", "table_NEW"), creates=True),
    Case("check", ("check",), READING, ("WRITE", "DESCRIBE_CONFIGS"), ("READ",), tables=WRITER),
    Case(
        "consume",
        ("consume", "--until-caught-up"),
        READING,
        ("WRITE", "DESCRIBE_CONFIGS"),
        ("READ",),
        tables=WRITER,
        prepare="bad event",
    ),
    Case("emit", ("emit", "--job-id", "job-1", "--status", "done", "--timeout", "3"), ("WRITE",)),
    Case("run", ("run", "--job-id", "job-1", "--", "true"), ("WRITE",)),
    Case("replay", ("replay", "--yes"), topic=READING, group=DESCRIBE, tables=WRITER),
    Case(
        "replay --name",
        ("replay", "--yes", "--name", "NEW"),
        topic=READING,
        group=DESCRIBE,
        checkpoints=("READ",),
        tables=WRITER,
    ),
    Case(
        "replay --undo", ("replay", "--undo", "--from", "1h ago", "--yes"), topic=READING, group=DESCRIBE, tables=WRITER
    ),
    Case(
        "replay --into",
        ("replay", "--into", "table_NEW", "--yes"),
        topic=READING,
        group=DESCRIBE,
        tables=READER,
        creates=True,
    ),
    Case("replay --dry-run", ("replay", "--dry-run"), topic=READING, group=DESCRIBE, tables=READER),
    Case("dlq list", ("dlq", "list"), letters=READING, tables=READER),
    Case("dlq show", ("dlq", "show", "POSITION"), letters=READING, tables=READER),
    Case(
        "dlq redrive",
        ("dlq", "redrive", "--offsets", "POSITION", "--yes"),
        letters=READING,
        tables=WRITER,
        prepare="open letter",
    ),
    Case("dlq budget clear", ("dlq", "budget", "clear"), ("READ",), group=("READ",)),
    Case("offsets show", ("offsets", "show"), topic=READING, group=DESCRIBE, tables=READER),
    Case("offsets reset", ("offsets", "reset", "--to", "beginning", "--yes"), READING, group=("READ",), tables=WRITER),
    Case("verify", ("verify",), topic=READING, group=DESCRIBE, tables=READER, prepare="exact table"),
    Case("verify --repair", ("verify", "--repair"), topic=READING, group=DESCRIBE, tables=WRITER, prepare="wrong row"),
    Case("history", ("history", "job-1"), READING, READING, ("DESCRIBE",), tables=READER),
    Case("purge", ("purge", "--older-than", "1s", "--status", "success", "--yes"), tables=PURGER),
    Case(
        "purge --forget-after",
        ("purge", "--forget-after", "1s", "--yes"),
        READING,
        READING,
        ("DESCRIBE",),
        tables=PURGER,
    ),
    Case("wait", ("wait", "JOB", "--until", "STATUS", "--timeout", "5"), tables=(("SELECT",),)),
    Case("stuck", ("stuck", "--status", "nothing", "--older-than", "1s"), tables=READER),
    Case("status", ("status",), READING, READING, ("DESCRIBE",), tables=READER),
    Case("console", ("console",), READING, READING, ("DESCRIBE",), tables=READER, audit=("SELECT",)),
    Case("spool drain", ("spool", "drain", "--spool-dir", "SPOOL", "--timeout", "3"), ("WRITE",), prepare="spool"),
    Case("target init", ("target", "init", OWN), tables=((),)),
    Case("target sql", ("target", "sql", *WITH_TARGET), tables=((),)),
    Case(
        "target sync --dry-run",
        ("target", "sync", "--dry-run", *WITH_TARGET),
        tables=READS,
        own=("SELECT (id)", "SELECT (status)"),
    ),
    Case(
        "target sync",
        ("target", "sync", *WITH_TARGET),
        tables=WRITES,
        own=("SELECT (id)", "SELECT (status)", "UPDATE (status)"),
        prepare="wrong order",
    ),
    Case(
        "dlq purge",
        ("dlq", "purge", "--before", "now", "--even-open", "--yes"),
        letters=("READ", "DELETE", "DESCRIBE_CONFIGS"),
        tables=READER,
        prepare="bad letter",
    ),
)
"""Every command that asks the broker or the database. `dlq purge` is the last."""

WITHOUT_RIGHTS: Final = {
    "demo": "it starts servers of its own",
    "plan": "it computes from a model, and asks nothing",
    "grants": "it asks the database's catalog, and only with a target",
    "acls": "it prints what the settings say",
    "schema show": "it prints what is installed",
    "schema check": "it asks a schema registry",
    "schema register": "it asks a schema registry",
    "spool list": "it reads files",
}
"""The other commands, and why neither server has to let them in."""


def all_commands() -> Iterator[str]:
    """Every command that a user can type, as the parser knows them."""
    yield from _commands_in(main, "", click.Context(main))


def _commands_in(group: click.Group, before: str, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _commands_in(command, f"{before}{name} ", context)
        else:
            yield before + name


def _has(given: Sequence[str], needed: Sequence[str]) -> bool:
    held = {*given, *(["DESCRIBE"] if INCLUDE_DESCRIBE & set(given) else [])}
    return set(needed) <= held


def clients_of(case: Case, settings: Settings) -> list[str]:
    """The kinds of client of the broker that may run it; none needs a right for a command that asks no broker."""
    found = []
    for name, principal in PRINCIPALS.items():
        given = {(item.kind, item.name): item.operations for item in principal.rights(settings)}
        needs = [(right.kind, right.name, right.operations) for right in case.rights(settings)]
        if needs and all(_has(given.get((kind, place), ()), operations) for kind, place, operations in needs):
            found.append(name)
    return found


def roles_of(case: Case) -> list[str]:
    """The roles in PostgreSQL that may run it."""
    return [
        name
        for name, role in ROLES.items()
        if case.uses_database
        and (role.writes_target or not any(item.startswith("UPDATE") for item in case.own))
        and (role.writes_target or role.reads_target or not case.own)
        and set(case.audit) <= set(role.audit)
        and (role.makes_tables or not case.creates)
        and all(set(need) <= set(has) for need, has in zip(case.tables, role.tables, strict=False))
    ]


def page_lines() -> Iterator[str]:
    """The tables of docs/reference/rights.md."""
    settings = load_settings({})
    yield from _matrix("The role in PostgreSQL", list(ROLES), [(case.name, roles_of(case)) for case in CASES])
    yield from _matrix("The client on the broker", list(PRINCIPALS), [(c.name, clients_of(c, settings)) for c in CASES])
    yield from ("## What each command needs", "")
    yield "| command | topic | dead letters' topic | group | table | `_progress` | `_purged` | `_waiting` | `_audit` |"
    yield "|---" * 9 + "|"
    for case in CASES:
        tables = [*case.tables, *[()] * (4 - len(case.tables)), case.audit]
        if case.creates:
            tables[0] = (*tables[0], "CREATE on the schema")
        cells = [case.topic, case.letters, case.group, *tables]
        yield f"| `{case.name}` | {' | '.join(', '.join(cell) for cell in cells)} |"


def without_rights() -> Iterator[str]:
    """What the page says of the other commands."""
    yield from ("## Commands that need no right", "")
    yield from (f"- `{name}`: {why}." for name, why in WITHOUT_RIGHTS.items())


def _matrix(title: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> Iterator[str]:
    yield from (f"## {title}", "", f"| command | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|")
    for name, found in rows:
        if found:
            yield f"| `{name}` | {' | '.join('yes' if column in found else '' for column in columns)} |"
    yield ""
