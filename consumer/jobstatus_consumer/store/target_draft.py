"""A first version of a target file, guessed from the names and types of a table's columns."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from jobstatus_consumer.errors import StartError
from jobstatus_consumer.store.draft_words import (
    ATTEMPT,
    ERROR,
    FINISHED,
    GIVEN_UP,
    JOB_IDS,
    STARTED,
    STATUS,
    SYNONYMS,
    UPDATED,
    USUAL_WORDS,
    WORKER,
)
from jobstatus_consumer.store.drafting import DraftColumn, DraftTable
from jobstatus_consumer.store.names import TableName

WIDTH: Final = 100
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_SIMPLE: Final = re.compile(r"[a-z_][a-z0-9_]*")


def draft(table: DraftTable, words: Sequence[str] = ()) -> str:
    """The text of a target file. `words` are the statuses that the workers report; empty where all are allowed.

    Raises StartError if no column can be the key.
    """
    usual = f"# JOBSTATUS_STATUSES is not set, so the workers' words are taken to be {', '.join(USUAL_WORDS)}.\n"
    return ("" if words else usual) + _Draft(table, words or USUAL_WORDS).text()


class _Draft:
    """One draft. Each column is mapped at most once; `_notes` says why a column with a telling name is not."""

    def __init__(self, table: DraftTable, words: Sequence[str]) -> None:
        self._table = table
        self._words = sorted(words, key=_stage)
        self._columns = {column.name: column for column in table.columns}
        self._key = self._key_columns()
        self._mapped: dict[str, list[str]] = {}
        self._notes: list[str] = []
        self._status: DraftColumn | None = None

    def text(self) -> str:
        """The whole file."""
        for part in (self._map_status, self._map_error, self._map_counts, self._map_times):
            part()
        head = [
            f"# How the state of a job becomes a row of {self._table.name}, guessed from the catalog: check each line.",
            "# A value is an SQL expression: `event` is the state of the job, `job` is your row as it was before.",
            f"table = {_toml(_sql_name(self._table.name))}",
            'missing = "wait"  # or "insert", or "ignore": what happens to a job that has no row',
            *self._where(),
        ]
        mapped = [line for lines in self._mapped.values() for line in lines]
        none = ["# no column can be mapped by its name and type: give at least one"] if not mapped else []
        parts = [head, ["", "[key]", *self._key_lines()], ["", "[set]", *none, *mapped], ["", *self._unmapped()]]
        return "\n".join(line for part in parts for line in part).rstrip() + "\n"

    def _key_columns(self) -> tuple[str, ...]:
        named: list[tuple[str, ...]] = [
            names for names in self._table.unique if len(names) == 1 and names[0].lower() in JOB_IDS
        ]
        found = named or list(self._table.unique) or self._of_a_view()
        if not found:
            raise StartError(
                f"{self._table.name} has no unique index, so a job could have several rows. Nothing was written. Make "
                "one on the column that names the job, such as: CREATE UNIQUE INDEX ON ... (id)"
            )
        return found[0]

    def _of_a_view(self) -> list[tuple[str, ...]]:
        """A view has no index: the column that is named like a job's id."""
        return [(name,) for name in (*JOB_IDS, "id", "uuid") if self._table.is_view and name in self._columns]

    def _key_lines(self) -> Iterator[str]:
        if len(self._key) == 1:
            (name,) = self._key
            if self._columns[name].category != "S":
                yield f"# an event whose job id is no {self._columns[name].type} becomes a dead letter"
            yield _line(name, "event.job_id")
            return
        yield f"# the key has {len(self._key)} columns: here the job id of an event is {'/'.join(self._key)}"
        for place, name in enumerate(self._key, 1):
            yield _line(name, f"nullif(split_part(event.job_id, '/', {place}), '')")

    def _first(self, names: Sequence[str], categories: str = "") -> DraftColumn | None:
        """The first column of these names; one whose type does not fit is noted."""
        by_name = {column.name.lower(): column for column in self._table.columns}
        for name in names:
            column = by_name.get(name)
            if column is None or column.name in self._key or column.generated or column.name in self._mapped:
                continue
            if column.category in categories:
                return column
            self._notes.append(f"{column.name}: give an expression by hand, its type is {column.type}")
        return None

    def _map(self, column: DraftColumn, expression: str, comments: Sequence[str] = ()) -> None:
        self._mapped[column.name] = [*(f"# {comment}" for comment in comments), _line(column.name, expression)]

    # -- the status

    def _map_status(self) -> None:
        column = self._first(STATUS, "ES")
        if column is None:
            enums = [item for item in self._table.columns if item.category == "E" and item.name not in self._key]
            column = enums[0] if len(enums) == 1 else None
        if column is None:
            if not self._notes:
                self._notes.append("no column is named like a status: map it by hand, if there is one")
            return
        self._status = column
        found = {word: _same(word, column.words) for word in self._words}
        changed = {word: label for word, label in found.items() if label is not None and label != word}
        self._map(column, _case(changed), list(self._about_words(column, found)))

    def _about_words(self, column: DraftColumn, found: Mapping[str, str | None]) -> Iterator[str]:
        if not column.words:
            yield f"{column.name} is {column.type}: the workers' words are written as they are. Where your application"
            yield "uses others, map them: CASE event.status WHEN 'processing' THEN 'running' ELSE event.status END"
            return
        yield from textwrap.wrap(f"{column.name} ({column.type}) knows: {', '.join(column.words)}", WIDTH - 2)
        for word, label in found.items():
            if label is None:
                how = f"ALTER TYPE {column.type} ADD VALUE '{word}'" if column.category == "E" else "allow it"
                yield f"  {word}: no word for it; {how}, or add: WHEN '{word}' THEN one of these"
        yield "A status that is not named here is written as it is, and your table refuses what it does not know."

    def _where(self) -> Iterator[str]:
        column = self._status
        given_up = next((word for word in column.words if word.lower() in GIVEN_UP), None) if column else None
        if column is not None and given_up is not None:
            differs = "<>" if column.not_null else "IS DISTINCT FROM"
            condition = f"job.{_sql_column(column.name)} {differs} {_sql_text(given_up)}"
            yield f"# where = {_toml(condition)}  # keeps what your application has set to {given_up}"

    # -- the other columns

    def _map_error(self) -> None:
        column = self._first(ERROR, "S")
        if column is not None:
            text = "event.error_message"
            text = f"left({text}, {column.most})" if column.most is not None else text
            self._map(column, f"coalesce({text}, '')" if column.not_null else text)
        worker = self._first(WORKER[:2] if "worker" in self._filled() else WORKER, "S")
        if worker is not None:
            self._map(worker, f"coalesce(event.worker_id, job.{_sql_column(worker.name)})")

    def _filled(self) -> set[str]:
        """Columns that the application must fill: `worker` is then what runs the job, and not who."""
        return {column.name for column in self._table.columns if column.not_null}

    def _map_counts(self) -> None:
        column = self._first(ATTEMPT, "N")
        if column is not None:
            self._map(column, f"coalesce(event.attempt, job.{_sql_column(column.name)})")

    def _map_times(self) -> None:
        started, finished, updated = (self._first(names, "D") for names in (STARTED, FINISHED, UPDATED))
        waits = ", ".join(_sql_text(word) for word in self._words if word.lower() in SYNONYMS[0])
        ends = ", ".join(_sql_text(word) for word in self._words if word.lower() in (*SYNONYMS[2], *SYNONYMS[3]))
        if started is not None:
            job = f"job.{_sql_column(started.name)}"
            begun = f"coalesce({job}, {_time(started, 'event.occurred_at')})"
            waiting = f"\nCASE WHEN event.status IN ({waits}) THEN {job}\n  ELSE {begun} END"
            self._map(started, waiting if waits else begun)
        if finished is not None and ends:
            otherwise = f" ELSE job.{_sql_column(finished.name)}" if finished.not_null else ""
            ended = _time(finished, "event.occurred_at")
            self._map(finished, f"CASE WHEN event.status IN ({ends}) THEN {ended}{otherwise} END")
        if updated is not None and self._table.triggers:
            self._notes.append(f"{updated.name}: left to the trigger {', '.join(self._table.triggers)}")
        elif updated is not None:
            self._map(updated, _time(updated, "now()"))

    def _unmapped(self) -> Iterator[str]:
        yield from (f"# {note}" for note in self._notes)
        noted = {note.partition(":")[0] for note in self._notes}
        done = {*self._key, *self._mapped, *noted}
        left = [_shown(column) for column in self._table.columns if column.name not in done]
        if left:
            yield from _comment(f"not mapped: {', '.join(left)}")
        needed = [
            column.name
            for column in self._table.columns
            if column.not_null and not column.has_default and not column.generated and column.name not in done
        ]
        if needed:
            yield from _comment(f'missing = "insert" would need a value for: {", ".join(needed)}')


def _stage(word: str) -> tuple[int, str]:
    """Where a status stands in the life of a job; one that is not known comes last."""
    stages = (number for number, names in enumerate(SYNONYMS) if word.lower() in names)
    return next(stages, len(SYNONYMS)), word


def _same(word: str, labels: Sequence[str]) -> str | None:
    """The label that means the same as `word`; `word` itself where there are no labels."""
    if not labels:
        return word
    by_name = {label.lower(): label for label in reversed(labels)}
    group = next((names for names in SYNONYMS if word.lower() in names), ())
    return next((by_name[name] for name in (word.lower(), *group) if name in by_name), None)


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False)


def _case(changed: dict[str, str]) -> str:
    if not changed:
        return "event.status"
    lines = [f"  WHEN {_sql_text(word)} THEN {_sql_text(label)}" for word, label in changed.items()]
    return "\n".join(["", "CASE event.status", *lines, "  ELSE event.status", "END"])


def _time(column: DraftColumn, expression: str) -> str:
    """A time for the column; one without a time zone is in UTC."""
    return f"{expression} AT TIME ZONE 'UTC'" if column.base == "timestamp" else expression


def _shown(column: DraftColumn) -> str:
    return f"{column.name} {column.type}"


def _line(column: str, expression: str) -> str:
    name = column if _BARE.fullmatch(column) else _toml(column)
    return f"{name} = {_toml(expression)}"


def _toml(text: str) -> str:
    """The text as a string of TOML; of several lines, if it begins with a line break."""
    quoted = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    if not text.startswith("\n"):
        return quoted
    return '"""' + quoted[1:-1].replace("\\n", "\n") + '"""'


def _sql_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _sql_column(name: str) -> str:
    return name if _SIMPLE.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def _sql_name(table: TableName) -> str:
    return ".".join(_part(part) for part in (table.schema, table.name) if part is not None)


def _part(part: str) -> str:
    return '"' + part.replace('"', '""') + '"' if re.search(r'[".\s]', part) else part
