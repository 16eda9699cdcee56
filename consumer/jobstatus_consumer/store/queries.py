"""Named blocks of SQL from the `.sql` files beside this module.

A block begins with a line `-- name --`, and the comment after it is its reason. `{table}`, `{progress}`, `{purged}`,
`{waiting}` and `{audit}` are filled in as quoted identifiers, `{other}` and `{other_purged}` as those of a second
managed table. `{guard}` and `{known}` are the blocks of these names, and `{guard_of_purged}` is the guard for what a
purge has left of a row. A placeholder may also be a part that the caller hands over. Every other placeholder is a list
that the table's layout makes, such as `{sent}`. A list whose placeholder has a line of its own gets one line for each
item; any other list stays on its line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Final

from psycopg import sql

from jobstatus_consumer.store.layout import MANAGED, TableLayout
from jobstatus_consumer.store.names import TableName

_HEAD = re.compile(r"^-- (\w+) --$", re.MULTILINE)
_OWN_LINE = re.compile(r"^( *)\{(\w+)\}(?=,?$)", re.MULTILINE)
_IN_LINE = re.compile(r"\{(\w+)\}")
_NO_TARGET: Final[Mapping[str, sql.Composable]] = {
    "returned": sql.SQL("1"),
    "projection": sql.SQL(""),
    "counts": sql.SQL(""),
    "parked": sql.SQL(""),
    "refused": sql.SQL(""),
}
"""The parts of statements that also write a target, where there is none."""


@cache
def blocks(file: str) -> dict[str, str]:
    """The blocks of one file by name, without comment lines."""
    text = resources.files("jobstatus_consumer.store").joinpath(file).read_text(encoding="utf-8")
    parts = _HEAD.split(text)
    return {name: _without_comments(body) for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def lines(items: Iterable[sql.Composable]) -> sql.Composed:
    """A list for a block, each item on a line of its own."""
    return sql.SQL(",\n    ").join(items)


def block(
    file: str,
    name: str,
    table: TableName,
    layout: TableLayout = MANAGED,
    parts: Mapping[str, sql.Composable] = _NO_TARGET,
) -> sql.Composed:
    """One block for one table. `layout` is the shape of that table; `parts` are placeholders that the caller fills."""
    given = {
        "table": table.identifier,
        "progress": table.progress.identifier,
        "purged": table.purged.identifier,
        "waiting": table.waiting.identifier,
        "audit": table.audit.identifier,
        **_NO_TARGET,
        **parts,
    }
    # SQL() refuses anything but a literal, to keep input out; this text is our own file
    return sql.SQL(_with_lists(_with_guard(blocks(file)[name]), layout, given)).format(**given)


def _with_guard(text: str) -> str:
    """The text with the guard, and with what it compares. Of a purged job that is `p`, and `n` is the new row."""
    if "{known}" in text:
        text = text.replace("{known}", blocks("write.sql")["known"])
    if "{guard" not in text:
        return text
    guard = blocks("write.sql")["guard"]
    of_purged = re.sub(r"\bt\.", "p.", guard).replace("excluded.", "n.")
    return text.replace("{guard}", guard).replace("{guard_of_purged}", of_purged)


def _with_lists(text: str, layout: TableLayout, given: Collection[str]) -> str:
    def own_line(match: re.Match[str]) -> str:
        indent, name = match.groups()
        return match[0] if name in given else _one_a_line(layout.lists[name], indent)

    def in_line(match: re.Match[str]) -> str:
        return match[0] if match[1] in given else ", ".join(layout.lists[match[1]])

    return _IN_LINE.sub(in_line, _OWN_LINE.sub(own_line, text))


def _one_a_line(items: Sequence[str], indent: str) -> str:
    return ",\n".join(indent + item.replace("\n", "\n" + indent) for item in items)


def _without_comments(body: str) -> str:
    return "\n".join(line for line in body.strip().splitlines() if not line.lstrip().startswith("--"))
