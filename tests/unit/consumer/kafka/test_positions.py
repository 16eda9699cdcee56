"""Up to where a partition was polled, in which leader epochs, and when that contradicts what the database has."""

from __future__ import annotations

from collections.abc import Mapping

from jobstatus_consumer.core.start_offsets import StartOffset
from jobstatus_consumer.kafka.divergence import LogCut, Place
from jobstatus_consumer.kafka.positions import Position
from jobstatus_consumer.kafka.reading import Reading
from jobstatus_consumer.records import NO_EPOCH, Log

LOG = Log("t", "id", 0)


def position(offset: int = 30, epoch: int = 1) -> Position:
    return Position.starting(StartOffset(LOG, offset, epoch=epoch), 1)


class Broker:
    """Says that every log is cut at `end`, if there is one."""

    def __init__(self, end: int | None = None) -> None:
        self.end = end
        self.asked = 0

    def find_cuts(self, places: Mapping[int, Place]) -> list[LogCut]:
        self.asked += 1
        return (
            [] if self.end is None else [LogCut(n, place.offset, self.end, place.epoch) for n, place in places.items()]
        )

    def continue_at(self, partition: int, offset: int, epoch: int = NO_EPOCH) -> None:
        """Nothing to do."""

    def first_offset(self, partition: int) -> int:
        return 0


def reading(broker: Broker, start: Position) -> Reading:
    found = Reading("t", broker, lambda _: None)
    found.positions[0] = start
    return found


def test_the_epoch_before_an_offset_is_that_of_the_record_before_it() -> None:
    found = position()
    found.turn(30, 2)
    found.turn(40, 4)
    assert [found.epoch_before(offset) for offset in (30, 31, 40, 41)] == [1, 2, 2, 4]


def test_a_higher_epoch_below_what_the_database_has_contradicts_it() -> None:
    found = position()
    assert not found.expect(35, 1)
    assert found.turn(34, 2)
    assert found.expect(35, 1)
    assert not position().turn(34, 2), "nothing is known of the database"


def test_a_log_that_is_cut_gives_nothing_more_until_its_position_is_set() -> None:
    start = position()
    start.turn(30, 2)
    assert reading(Broker(end=20), start).compare(0, Place(35, 1)) == LogCut(0, 35, 20, 1)
    assert start.has_left


def test_a_start_without_an_epoch_is_looked_at_once() -> None:
    broker = Broker()
    found = reading(broker, position(epoch=NO_EPOCH))
    assert [found.compare(0, Place(30, 1)) for _ in range(3)] == [None] * 3
    assert broker.asked == 1
