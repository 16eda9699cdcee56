"""Runs the cases of the wanted parts in turn, some rounds of them, and keeps the medians."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple, Self

from jobstatus_local.proxy import TcpProxy

from ..own import STATE, target_file
from ..place import Place
from . import fleet
from .backlogs import Backlog
from .fleet import NOTHING, Load, Sample
from .parts import MANY_ROWS_BYTES, PARTS, Case, table

Say = Callable[[str], Any]


class Measured(NamedTuple):
    """A case: the medians of its rounds, and each round's events a second."""

    sample: Sample
    rates: list[float]

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Self:
        return cls(median(samples), [item.events_per_second for item in samples])

    def as_dict(self) -> dict[str, Any]:
        return {**self.sample._asdict(), "rates": self.rates}

    @classmethod
    def parse(cls, found: Mapping[str, Any]) -> Self:
        values = dict(found)
        rates = values.pop("rates")
        return cls(Sample(**values), rates)


class Runner:
    """Fills each topic once, and has the proxy that makes the distance; a context manager."""

    def __init__(self, place: Place, seconds: float, share: float, say: Say) -> None:
        """`share` is the part of each backlog's events that is wanted."""
        self._place = place
        self._seconds = seconds
        self._share = share
        self._say = say
        self._filled: set[str] = set()
        self.unsettled = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._proxy = self._stack.enter_context(TcpProxy(self._place.stack.postgres.port))
        self._target = self._stack.enter_context(target_file())
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def run(self, cases: Sequence[Case], rounds: int) -> dict[str, Measured]:
        """Every case in each round; one that never settles is left out, and counted in `unsettled`."""
        found: dict[str, list[Sample]] = {}
        for number in range(rounds):
            for case in cases:
                sample = fleet.settled(partial(self._once, case), self._say)
                if sample is None:
                    self.unsettled += 1
                    continue
                found.setdefault(case.key, []).append(sample)
                self._say(
                    f"  round {number + 1}, {case.key}: {sample.events_per_second:,.0f} events/s,"
                    f" {sample.used_cores:.2f} cores, others {sample.other_cores:.2f}"
                )
        return {key: Measured.of(samples) for key, samples in found.items()}

    def _once(self, case: Case) -> Sample:
        topic = self._fill(case.backlog)
        settings = {"JOBSTATUS_TARGET": self._target, "JOBSTATUS_TABLE": STATE} if case.own_table else NOTHING
        load = Load(topic, case.consumers, case.batch, case.window, case.trip_ms, settings)
        with self._place.database() as url:
            case.prepare(url)
            self._proxy.delay(0.0, case.trip_ms / 1000)
            through = self._proxy.through(url) if case.trip_ms else url
            return fleet.measure(self._place, load, through, fleet.round_trip_ms(through), self._seconds)

    def _fill(self, backlog: Backlog) -> str:
        wanted = backlog._replace(events=round(backlog.events * self._share))
        if wanted.topic not in self._filled:
            self._place.make_topic(wanted.topic, wanted.partitions)
            self._place.produce(wanted.topic, wanted.records())
            self._filled.add(wanted.topic)
        return wanted.topic


def cases_of(names: Sequence[str], *, many: bool, say: Say) -> list[Case]:
    """The cases of the parts; the table of `MANY_ROWS` only with `many`, and where the disk has room for it."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if many and free < MANY_ROWS_BYTES:
        say(f"  the table of 50,000,000 rows is left out: it needs {MANY_ROWS_BYTES / 1e9:.0f} GB of disk")
        many = False
    found = []
    for name in names:
        found += list(table(many=many) if name == "table" else PARTS[name]())
    return found


def median(samples: Sequence[Sample]) -> Sample:
    """The median of each field; what was asked for is the same in all."""
    fields = zip(*samples, strict=True)
    return Sample(*(values[0] if len(set(values)) == 1 else statistics.median(values) for values in fields))
