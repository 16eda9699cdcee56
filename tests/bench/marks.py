"""When a contender wrote its first and its last batch, and what that took of the machine."""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple


@dataclass(frozen=True)
class Run:
    """What a contender did between the end of its first batch and the end of its last.

    So the interpreter's start, joining a group and the first fetch count for nobody. CPU is of the process, all of
    its threads, the Kafka client's too; memory is the process's peak from its very start.
    """

    events: int
    seconds: float
    cpu_seconds: float
    peak_megabytes: float
    peak_at_a_tenth: float
    """when a tenth of the events were written"""

    @property
    def events_per_second(self) -> float:
        return self.events / self.seconds

    @property
    def cpu_micros(self) -> float:
        """Of one event."""
        return self.cpu_seconds / self.events * 1e6


class _Mark(NamedTuple):
    at: float
    cpu: float


class Marks:
    """Told after each batch how many events were in it; `total`: how many there will be."""

    def __init__(self, total: int) -> None:
        self._tenth = total // 10
        self._peak_at_a_tenth = 0.0
        self._first: _Mark | None = None
        self._last = _Mark(0, 0)
        self._events = 0

    def batch(self, events: int) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self._last = _Mark(time.perf_counter(), usage.ru_utime + usage.ru_stime)
        if self._first is None:
            self._first = self._last
        else:
            self._events += events
        if not self._peak_at_a_tenth and self._events >= self._tenth:
            self._peak_at_a_tenth = peak_megabytes()

    def tell(self) -> None:
        """Print the run for the process that started this one."""
        if self._first is None:
            sys.exit("there was nothing to write")
        seconds, cpu = self._last.at - self._first.at, self._last.cpu - self._first.cpu
        run = Run(self._events, seconds, cpu, peak_megabytes(), self._peak_at_a_tenth)
        print(json.dumps(asdict(run)))


def peak_megabytes() -> float:
    """The most memory of this program. On Linux `ru_maxrss` begins with that of the process which started it."""
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / 1e6
