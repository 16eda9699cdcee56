"""The expressions of a target file, tried for each status that the workers report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from psycopg.rows import TupleRow

from jobstatus_consumer.errors import BadRowError, DeploymentError, TargetError
from jobstatus_consumer.store.problem import Problem
from jobstatus_consumer.store.target import Mapped, Missing, Target
from jobstatus_consumer.store.target_check import TargetLook, looking_at
from jobstatus_consumer.store.target_rights import columns_read

_JOB_ID: Final = re.compile(r"\bjob_id\b")


def refused_words(url: str, table: str, target: Target, words: Sequence[str]) -> list[Problem]:
    """What the target refuses: of the statuses `words`, and of rows that are to be made.

    Each expression of `set` is evaluated for each word, for a state with and without the fields that an event may lack.
    Empty where the target cannot be looked at, which `check` names. Raises StoreError's kinds.
    """
    try:
        with looking_at(url, table, target) as look:
            trial = _Trial(look)
            return [*trial.unfilled(), *(trial.refused(words) if words else ())]
    except TargetError:
        return []


class _Trial:
    """One trial of a target file. The samples have no real job id, so what is made of it is not tried."""

    def __init__(self, look: TargetLook) -> None:
        self._look = look
        self._projection = look.projection
        self._target = look.projection.target
        self._columns = look.projection.shape.columns

    def unfilled(self) -> Iterator[Problem]:
        """Columns that a new row must fill, and does not. A trigger may fill them."""
        if self._target.missing is not Missing.INSERT:
            return
        mapped = {item.column for item in (*self._target.key, *self._target.assigned)}
        empty = [
            column.name for column in self._columns.values() if column.must_be_filled and column.name not in mapped
        ]
        if empty and not any(at_insert for _, at_insert in self._look.triggers()):
            yield self._problem(
                f'missing = "insert": a new row of {self._target.table} has no value for {", ".join(empty)}, which is '
                "NOT NULL without a default"
            )

    def refused(self, words: Sequence[str]) -> Iterator[Problem]:
        """What the table does not take of each word: values, NULL, texts that are too long, CHECK constraints."""
        taken = []
        for item in self._target.assigned:
            if _JOB_ID.search(item.expression):
                continue
            found = list(self._refused_values(item, words))
            yield from found
            if not found and not self._reads_row(item):
                taken.append(item)
        yield from self._refused_by_constraints(taken, words)

    def _refused_values(self, item: Mapped, words: Sequence[str]) -> Iterator[Problem]:
        try:
            found = self._look.evaluated(self._projection.tried(item), words)
        except (BadRowError, DeploymentError) as error:
            if len(words) == 1:
                type_ = self._columns[item.column].full_type
                yield self._problem(
                    f"set.{item.column}: the status {words[0]} makes a value that the column ({type_}) does not take: "
                    f"{error}"
                )
                return
            for word in words:
                yield from self._refused_values(item, [word])
            return
        yield from self._refused_nulls(item, found)
        yield from self._refused_lengths(item, found)

    def _refused_nulls(self, item: Mapped, found: Sequence[TupleRow]) -> Iterator[Problem]:
        if not self._columns[item.column].not_null or self._reads_row(item):
            return
        always = _listed(word for word, is_filled, is_null, _ in found if is_filled and is_null)
        if always:
            yield self._problem(f"set.{item.column}: {always} makes NULL, and the column is NOT NULL")
        elif any(is_null for _, _, is_null, _ in found):
            yield self._problem(
                f"set.{item.column}: an event without a message, an attempt or a worker makes NULL, and the column is "
                "NOT NULL; coalesce(..., '') gives it a value"
            )

    def _refused_lengths(self, item: Mapped, found: Sequence[TupleRow]) -> Iterator[Problem]:
        most = self._columns[item.column].most
        long = _listed(word for word, _, _, length in found if most is not None and (length or 0) > most)
        if long:
            yield self._problem(f"set.{item.column}: {long} makes more than {most} characters, which is all that fit")

    def _refused_by_constraints(self, items: Sequence[Mapped], words: Sequence[str]) -> Iterator[Problem]:
        by_column = {item.column: item for item in items}
        for name, condition, columns in self._look.constraints():
            if not columns or not by_column.keys() >= set(columns):
                continue
            query = self._projection.checked([by_column[column] for column in columns], condition)
            refused = _listed(word for (word,) in self._look.evaluated(query, words))
            if refused:
                yield self._problem(
                    f"set.{', set.'.join(columns)}: {refused} makes what the CHECK constraint {name} refuses"
                )

    def _reads_row(self, item: Mapped) -> bool:
        return bool(columns_read([item.expression], self._projection.shape))

    def _problem(self, what: str) -> Problem:
        return Problem(
            f"the target file {self._target.path}: {what}", "correct the file or the table, then: jobstatus check"
        )


def _listed(words: Iterable[str]) -> str:
    """The words as a subject; empty if there are none."""
    found = ", ".join(dict.fromkeys(words))
    return f"the status {found}" if found else ""
