"""The SQL that writes the target, made from the target file and from what the catalog says.

The parts go into the writer's statement, and the same parts into the statement that settles what waits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from jobstatus_consumer.store.layout import MANAGED
from jobstatus_consumer.store.queries import block, lines
from jobstatus_consumer.store.raw_query import RawQuery
from jobstatus_consumer.store.target import Mapped, Missing, Target
from jobstatus_consumer.store.target_catalog import TargetColumn, TargetShape

_OF_EVENT: Final = re.compile(r"\bevent\s*\.\s*(\w+)", re.IGNORECASE)
_EVENT: Final = re.compile(r'"event"|\bevent\b(?!\s*\.\s*\w)', re.IGNORECASE)
_PLAIN: Final = {"status", "attempt", "occurred_at", "latest_occurred_at", "event_id"}
_NEVER: Final = sql.SQL("0")


@dataclass(frozen=True)
class Projection:
    """The statements for one target and one managed table, both with their schemas."""

    target: Target
    shape: TargetShape

    @property
    def every_event(self) -> bool:
        """Whether each event is written alone, because what is written depends on the events before it."""
        if self.target.every_event is not None:
            return self.target.every_event
        return self.target.mentions_job or self.shape.has_update_triggers

    def write(self) -> RawQuery:
        """The writer's statement."""
        return self._write_with(sql.SQL(""))

    def sent(self) -> RawQuery:
        """The writer's statement where several batches may be in flight."""
        return self._write_with(block("write.sql", "refused", self.shape.state))

    def _write_with(self, refused: sql.Composable) -> RawQuery:
        return RawQuery.of(block("write.sql", "write", self.shape.state, parts={**self._parts(), "refused": refused}))

    def statement(self, name: str) -> RawQuery:
        """One of the other statements of projection.sql."""
        return RawQuery.of(block("projection.sql", name, self.shape.state, parts=self._parts()))

    def made(self, file: str, name: str, **parts: sql.Composable) -> bytes:
        """A block of another file, which may use the placeholders of projection.sql and `parts`."""
        given = {**self._parts(), **self._pieces(), **parts}
        return block(file, name, self.shape.state, parts=given).as_bytes()

    def difference(self, item: Mapped) -> sql.Composable:
        """The column's name as a text if the row does not have the value that the state makes, else NULL."""
        named = _text(sql.Literal(item.column).as_string(None))
        return sql.SQL("CASE WHEN {} THEN {} END").format(self._differs(item), named)

    def beside(self, item: Mapped) -> sql.Composable:
        """Three values: the column's value in the row, what the state makes of it, and whether the two differ."""
        values = (_name("job", item.column), self._shown(item), self._differs(item))
        return sql.SQL("CAST({} AS text), CAST({} AS text), {}").format(*values)

    def _differs(self, item: Mapped) -> sql.Composable:
        values: list[sql.Composable] = [_name("job", item.column), self._shown(item)]
        if not self.shape.columns[item.column].comparable:
            values = [sql.SQL("CAST({} AS text)").format(value) for value in values]
        return sql.SQL("{} IS DISTINCT FROM {}").format(*values)

    def _shown(self, item: Mapped) -> sql.Composable:
        """The value that the column has once the row was written: as an assignment makes it, with its length."""
        column = self.shape.columns[item.column]
        expression = _expression(item.expression)
        if column.is_string and column.is_domain:
            return expression
        return _cast(expression, column if column.is_string else column._replace(type=column.full_type))

    def tried(self, item: Mapped) -> bytes:
        """The statement that evaluates the value for a column for some statuses, as `target_check.sql` says."""
        return self._sampled("word", value=self._tried(item))

    def checked(self, items: Iterable[Mapped], condition: str) -> bytes:
        """The statement that finds the statuses for which these columns' values break a CHECK constraint."""
        values = lines(sql.SQL("{} AS {}").format(self._tried(item), _name(item.column)) for item in items)
        return self._sampled("checked", values=values, condition=_expression(condition))

    def _sampled(self, name: str, **parts: sql.Composable) -> bytes:
        samples = block("target_check.sql", "samples", self.shape.state, parts=self._pieces())
        return self.made("target_check.sql", name, samples=samples, **parts)

    def _tried(self, item: Mapped) -> sql.Composable:
        """The value as the column's type has it, without its length, which is judged apart."""
        column = self.shape.columns[item.column]
        cast = column if column.is_string else column._replace(type=column.full_type)
        return _cast(_expression(item.expression), cast)

    def is_plain(self, item: Mapped) -> bool:
        """Whether the value for a column is made of nothing of the event but its status, attempt and times."""
        named = {name.lower() for name in _OF_EVENT.findall(item.expression)}
        return bool(named) and named <= _PLAIN and not _EVENT.search(item.expression)

    def probe(self, expression: str, column: str) -> bytes:
        """The statement that tries one expression; `column` is where its value goes, empty for a condition."""
        made = _expression(expression)
        if column:
            made = self._value(Mapped(column, expression))
        return self._block("probe", expression=made).as_bytes()

    def _parts(self) -> dict[str, sql.Composable]:
        middle = (self._block("projected"), self._block(self.target.missing.value), self._block("parked"))
        return {
            "returned": sql.SQL(", ").join(_name("t", name) for name in self._event_columns()),
            "projection": sql.SQL("").join(middle),
            "counts": self._block("counts"),
        }

    def _block(self, name: str, **more: sql.Composable) -> sql.Composed:
        return block("projection.sql", name, self.shape.state, parts={**self._pieces(), **more})

    def _pieces(self) -> dict[str, sql.Composable]:
        key, assigned = self.target.key, self.target.assigned
        key_names = [_name("event", f"key_{number}") for number in range(1, len(key) + 1)]
        columns = [_name(item.column) for item in key]
        pairs = list(zip(columns, key_names, strict=True))
        made = [(_name(item.column), self._value(item)) for item in assigned]
        inserts = self.target.missing is Missing.INSERT
        return {
            "target": _name(*filter(None, (self.shape.place.schema, self.shape.place.name))),
            "keys": lines(
                sql.SQL("{} AS {}").format(self._key(item), _name(f"key_{number}"))
                for number, item in enumerate(key, 1)
            ),
            "key_names": sql.SQL(", ").join(key_names),
            "key_columns": sql.SQL(", ").join(columns),
            "ours": sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(name) for name in key_names),
            "same_row": sql.SQL(" AND ").join(sql.SQL("job.{} = {}").format(*pair) for pair in pairs),
            "by_key": _by_key(pairs),
            "where": _expression(self.target.where),
            "assignments": lines(sql.SQL("{} = {}").format(*pair) for pair in made),
            "inserted_columns": sql.SQL(", ").join([*columns, *(name for name, _ in made)]),
            "inserted_values": lines([*key_names, *(value for _, value in made)]),
            "inserted_count": sql.SQL("(SELECT count(*) FROM inserted)") if inserts else _NEVER,
            "no_row": sql.SQL(", ").join(_null(column) for column in self.shape.columns.values()),
        }

    def _event_columns(self) -> Iterator[str]:
        """The columns of the state that the expressions name; all of them where that cannot be seen."""
        texts = [item.expression for item in (*self.target.key, *self.target.assigned)] + [self.target.where]
        named = {name.lower() for text in texts for name in _OF_EVENT.findall(text)}
        every = any(_EVENT.search(text) for text in texts)
        for column in MANAGED.columns:
            if every or column.name in named or column.name == MANAGED.key:
                yield column.name

    def _value(self, item: Mapped) -> sql.Composable:
        """The value for a column. A string gets no cast: that would cut it, and an assignment refuses it."""
        column = self.shape.columns[item.column]
        expression = _expression(item.expression)
        return expression if column.is_string else _cast(expression, column)

    def _key(self, item: Mapped) -> sql.Composable:
        """The value for a column of the key, of a type that its index can use.

        A spelling that is not the server's own is refused as a value that does not parse, since `7` and `007` would be
        two jobs with one row.
        """
        column = self.shape.columns[item.column]
        expression = _expression(item.expression)
        if column.is_string and column.is_domain:
            return expression
        value = _cast(expression, column)
        if column.spelling is None:
            return value
        exact = value if column.is_string else _cast(expression, column._replace(type=column.full_type))
        before, _, after = column.spelling.partition("%s")
        # a text of any kind is a string, so a number refuses it
        refuse = sql.SQL("CAST({} AS integer)") if column.is_string else sql.SQL("{}")
        return sql.SQL(
            "CASE WHEN CAST({before}{exact}{after} AS text) = CAST({given} AS text) THEN {value}\n"
            "      ELSE CAST({refused} AS {type}) END"
        ).format(
            before=_text(before),
            exact=exact,
            after=_text(after),
            given=expression,
            value=value,
            refused=refuse.format(sql.SQL("'not canonical: ' || CAST({} AS text)").format(expression)),
            type=_text(column.type),
        )


def _expression(text: str) -> sql.Composable:
    """An expression of the user's, on lines of its own, so that a comment in it ends with it."""
    return _text("(\n" + text + "\n)")


def _by_key(pairs: Sequence[tuple[sql.Composable, sql.Composable]]) -> sql.Composable:
    """The keys as one list, where the key is one column: several lists would be all their combinations."""
    if len(pairs) > 1:
        return sql.SQL("")
    return sql.SQL("\n    AND job.{} = ANY (ARRAY(SELECT {} FROM found AS event))").format(*pairs[0])


def _cast(expression: sql.Composable, column: TargetColumn) -> sql.Composable:
    return sql.SQL("CAST({} AS {})").format(expression, _text(column.type))


def _null(column: TargetColumn) -> sql.Composable:
    return sql.SQL("CAST(NULL AS {}) AS {}").format(_text(column.type), _name(column.name))


def _name(*parts: str) -> sql.SQL:
    """A quoted name. `Identifier` does not know that a single % begins a parameter."""
    return _text(sql.Identifier(*parts).as_string(None))


def _text(text: str) -> sql.SQL:
    """SQL of the user's own. `SQL` refuses anything but a literal, to keep input out."""
    return sql.SQL(text.replace("%", "%%"))
