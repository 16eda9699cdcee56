"""A store that sends batches before the earlier ones are acknowledged, so that a distant database costs no round trips.

Only the usual batch goes this way. The caller writes a batch with `write` if `send` does not take it, and after an
error each batch that was in flight: `write` finds bad rows, waits, and says what is wrong.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import orjson
from psycopg import sql

from jobstatus_consumer.core import RowState, Statement
from jobstatus_consumer.errors import BadRowError, ConnectionStaleError, StoreError
from jobstatus_consumer.records import Batch, LogRange, Written
from jobstatus_consumer.store.pipe import Answer, Command, Pipe
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.raw_query import RawQuery
from jobstatus_consumer.store.write_counts import WriteCounts, unexplained
from jobstatus_consumer.store.writer import Store

KEEPALIVES: Final = (
    b"SELECT pg_catalog.set_config('tcp_keepalives_idle', '15', false),"
    b" pg_catalog.set_config('tcp_keepalives_interval', '5', false),"
    b" pg_catalog.set_config('tcp_keepalives_count', '3', false)"
)
"""The server ends a session whose client has vanished for 30 s. Where the network fails between the statements of a
batch and its COMMIT, that session has locked the rows; the server's own default is two hours."""


class Sent(NamedTuple):
    """A batch in flight: its statements, the offsets that it covers, and when it was sent."""

    statements: Sequence[Statement]
    ranges: Sequence[LogRange]
    at: float


class SendingStore(Store):
    """A store with `send` and `receive` beside `write`: each batch is one transaction, and they are done in order.

    After an error of any method nothing is in flight. Of the batches that were, the oldest ones may have been written
    without an answer; none is written behind one that is not.
    """

    def __init__(self, url: str, table: str, **given: Any) -> None:
        super().__init__(url, table, **given)
        self._pipe: Pipe | None = None
        self._sent: deque[Sent] = deque()
        # of the oldest of them: what came while something else had to be asked
        self._answers: deque[list[Answer]] = deque()

    def prepare(self) -> None:
        """Find the table on a new connection, and compose the statement that is sent."""
        super().prepare()
        parts = {"returned": sql.SQL("t.job_id"), "refused": block("write.sql", "refused", self._place)}
        self._sent_write = RawQuery.of(block("write.sql", "write", self._place, parts=parts))

    def close(self) -> None:
        """End the connection, if there is one, and forget what is in flight."""
        super().close()
        self._pipe = None
        self._nothing_in_flight()

    def _nothing_in_flight(self) -> None:
        self._sent.clear()
        self._answers.clear()
        self._sent_at = None

    def send(self, batch: Batch) -> bool:
        """Send a batch behind those in flight. Blocks only while the socket takes no more bytes.

        Returns False, and sends nothing, if the batch must be written by `write`: a value cannot be encoded, fewer rows
        at once are in time, or a pooler gives each transaction another session.
        """
        if self._pooled:
            return False
        statements = self.encode(batch).statements
        if any(len(statement.events) > self._at_once for statement in statements):
            return False
        try:
            commands = self._commands(statements, batch.ranges)
        except BadRowError:
            return False
        now = self._clock()
        # before the first statement on a connection as well, which sets the keepalives
        self._sent_at = self._sent_at or now
        with self._piped() as pipe:
            pipe.send(commands)
        self._sent.append(Sent([statement._replace(parameters=None) for statement in statements], batch.ranges, now))
        return True

    def _commands(self, statements: Sequence[Statement], ranges: Sequence[LogRange]) -> list[Command]:
        """The statements in order; the last one carries the progress of the logs."""
        *before, last = statements
        parameters = [self._parameters(statement, ()) for statement in before]
        return [Command(self._sent_write, given) for given in (*parameters, self._parameters(last, ranges))]

    def receive(self, wake: int | None = None) -> Written | None:
        """What became of the oldest batch in flight, once it is committed.

        Blocks until then, as a write does, or until the file descriptor `wake` is readable: then it returns None.
        """
        if not self._answers:
            answers = self._next_answers(wake)
            if answers is None:
                return None
            self._answers.append(answers)
        sent, answers = self._sent.popleft(), self._answers.popleft()
        try:
            return self._taken(sent, answers)
        except StoreError:
            self._give_up()
            raise

    def rest(self) -> None:
        """Leave pipeline mode, so that the connection can be used for anything else.

        Blocks until everything in flight is answered. The server reports what a session did, and lets others see it as
        idle, only then.
        """
        while len(self._answers) < len(self._sent):
            if (answers := self._next_answers(None)) is not None:
                self._answers.append(answers)
        if self._pipe is not None:
            with self._piped() as pipe:
                self._sent_at = self._clock()
                pipe.end()
        self._sent_at = None

    def _next_answers(self, wake: int | None) -> list[Answer] | None:
        with self._piped() as pipe:
            answers = pipe.answers(wake)
        if answers is not None:
            # the next one runs since now
            self._sent_at = self._clock() if len(self._sent) - len(self._answers) > 1 else None
        return answers

    def _note_result(self) -> None:
        # each statement may take as long as the server allows one
        self._sent_at = self._clock()

    @contextmanager
    def _piped(self) -> Iterator[Pipe]:
        try:
            with self.use() as connection:
                if self._pipe is None:
                    connection.execute(KEEPALIVES)
                    self._pipe = Pipe(connection, self._note_result)
                yield self._pipe
        except ConnectionStaleError:
            self.close()
            raise
        except StoreError:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """After an error: nothing is in flight, and the connection, if it lives, can be used for anything else."""
        self._nothing_in_flight()
        if self._pipe is None:
            return
        self._sent_at = self._clock()
        try:
            with self.use():
                self._pipe.end()
        except StoreError:
            self.close()
        self._sent_at = None

    def _taken(self, sent: Sent, answers: Sequence[Answer]) -> Written:
        counts = WriteCounts()
        left_out: list[Statement] = []
        advanced = 0
        for statement, (applied, advances, *target, refused) in zip(sent.statements, answers, strict=True):
            advanced = _number(advances)
            self._note_target([_number(text) for text in target])
            left_out += self._explained(statement, _number(applied), refused, counts)
        if advanced < len(sent.ranges) or left_out:
            # the questions come behind what is in flight
            self.rest()
        if advanced < len(sent.ranges):
            self._refuse_gaps(sent.ranges)
        self._seen.update(item.log_id for item in sent.ranges)
        for part in left_out:
            self._apply(part, (), counts)
        return counts.written(self._clock() - sent.at)

    def _note_target(self, counts: Sequence[int]) -> None:
        """For a store with a target: what a statement did to it."""

    def _explained(
        self, statement: Statement, applied: int, refused: bytes | None, counts: WriteCounts
    ) -> Sequence[Statement]:
        """Count the events. Return those that changed nothing although their row, as it was, does not explain it."""
        if refused is None:
            counts.sent(statement)
            counts.applied += applied
            return ()
        states = {job: RowState(*state) if known else None for job, known, *state in orjson.loads(refused)}
        rows = {job: state for job, state in states.items() if state is not None}
        events = [event for event in statement.events if event.job_id in states]
        return self._sort_out(statement, applied, rows, unexplained(events, len(events), rows), counts)


def _number(text: bytes | None) -> int:
    return int(text or b"0")
