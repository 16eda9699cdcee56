"""What the topic holds, taken apart: good events to be applied by the model, and poison by its identity."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from jobstatus_consumer.core.decode import Decoder
from jobstatus_consumer.records import Event, RawRecord, Rejected
from law.model import Row, applied

from chaos.poison import CHECK_OF_A_SHARED_JOB, MARK

BATCH: Final = 50
"""The consumers' batch: no two events further apart in a log are in the same one."""

Position = tuple[int, int]


class Poison(NamedTuple):
    """A record that must become a dead letter."""

    kind: str
    raw: RawRecord


class Due(NamedTuple):
    """What must be seen outside once the offsets before it are committed: the row of a job at `offset` or past it."""

    job_id: str
    offset: int


class History:
    """The sequential model over the topic, advanced partition by partition up to given offsets."""

    def __init__(self) -> None:
        self.table: dict[str, Row] = {}
        self.poison: dict[Position, Poison] = {}
        self._decoder = Decoder()
        self.event_ids: set[str] = set()
        self.events = 0
        self.changed = 0
        self._awaiting: defaultdict[str, list[Position]] = defaultdict(list)
        self._successor: dict[Position, int] = {}
        self._ahead: defaultdict[int, deque[Event]] = defaultdict(deque)
        self._poison_ahead: defaultdict[int, deque[Position]] = defaultdict(deque)

    def take(self, records: Iterable[RawRecord]) -> None:
        """The next records of the topic, each partition in order."""
        for raw in records:
            kind = dict(raw.headers).get(MARK)
            if kind is not None:
                self._take_poison(kind.decode(), raw)
                continue
            event = self._decoder.decode(raw)
            if isinstance(event, Rejected):
                raise TypeError(f"the chaos run produced poison without its mark: {event.reason}")
            self.events += 1
            self.event_ids.add(event.content.event_id)
            self._ahead[raw.partition].append(event)

    def _take_poison(self, kind: str, raw: RawRecord) -> None:
        place = raw.partition, raw.offset
        self.poison[place] = Poison(kind, raw)
        self._poison_ahead[raw.partition].append(place)
        if kind == CHECK_OF_A_SHARED_JOB:
            self._awaiting[(raw.key or b"").decode()].append(place)

    def advance(self, ends: Mapping[int, int]) -> tuple[list[Due], list[Position]]:
        """Apply what is before `ends`; the jobs that were spoken of, as they must be now, and the poison passed."""
        touched: dict[str, Due] = {}
        for partition, end in ends.items():
            for event in _before(self._ahead[partition], end):
                self._apply(event)
                row = self.table[event.job_id]
                touched[event.job_id] = Due(event.job_id, row.offset or 0)
        passed = [place for partition, end in ends.items() for place in self._poison_before(partition, end)]
        return list(touched.values()), passed

    def _apply(self, event: Event) -> None:
        before = self.table.get(event.job_id)
        row = applied(before, event)
        if row is not None and row is not before:
            self.table[event.job_id] = row
            self.changed += 1
        for place in self._awaiting.pop(event.job_id, ()):
            if place[1] < event.offset:
                self._successor[place] = event.offset
            else:
                self._awaiting[event.job_id].append(place)

    def _poison_before(self, partition: int, end: int) -> Iterator[Position]:
        queue = self._poison_ahead[partition]
        while queue and queue[0][1] < end:
            yield queue.popleft()

    def needs_letter(self, place: Position) -> bool:
        """Whether this poison must be in the dead letters, as far as the model has come.

        A bad event that a later one of its job superseded inside its own batch needs none.
        """
        after = self._successor.get(place)
        return after is None or after - place[1] >= BATCH


def _before(queue: deque[Event], end: int) -> Iterator[Event]:
    while queue and queue[0].offset < end:
        yield queue.popleft()
