"""How long a start takes: from the process's start to the assignment and to the first row, and a whole `emit`.

The group exists and four events wait for it. The settings are the defaults, so the linger of 2 s is among them. The
times are of whole processes, with the interpreter and all imports; the median of several starts is shown.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from rich.table import Table

from .place import CHECKOUT, Place
from .tables import plain_table
from .targets import Target

COMMAND: Final = [sys.executable, "-c", "from jobstatus_consumer.cli.main import main; main()"]
EVENTS: Final = 4


class Start(NamedTuple):
    """Seconds from the process's start."""

    assigned: float
    written: float
    emitted: float
    """of another process: a whole `jobstatus emit`"""
    emitted_cpu: float
    """the same, in seconds of processor time"""

    @property
    def after_assignment(self) -> float:
        """Seconds from the assignment to the first row."""
        return self.written - self.assigned


def measure(place: Place, topic: str, starts: int) -> list[Start]:
    """The first start makes the group, and so does not count."""
    with place.database() as url:
        env = place.environment(topic, 50, url)
        return [_start(env) for _ in range(starts + 1)][1:]


def _start(env: Mapping[str, str]) -> Start:
    began, cpu = time.perf_counter(), _cpu_of_children()
    for number in range(EVENTS):
        _run(env, "emit", "--job-id", f"job-{number}", "--status", "pending")
    emitted, emitted_cpu = (time.perf_counter() - began) / EVENTS, (_cpu_of_children() - cpu) / EVENTS
    began = time.perf_counter()
    seen: dict[bytes, float] = {}
    argv = [*COMMAND, "consume", "--until-caught-up"]
    with subprocess.Popen(argv, env=dict(env), cwd=CHECKOUT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as run:
        for line in run.stderr or ():
            for words in (b"got partitions", b"Batch updated"):
                if words in line:
                    seen.setdefault(words, time.perf_counter() - began)
    return Start(seen[b"got partitions"], seen[b"Batch updated"], emitted, emitted_cpu)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(env: Mapping[str, str], *arguments: str) -> None:
    subprocess.run([*COMMAND, *arguments], env=dict(env), cwd=CHECKOUT, check=True, stdout=subprocess.DEVNULL)


class Figure(NamedTuple):
    """What is measured, in seconds; `most` is what it should take.

    `before` is the best of some starts of an earlier version, which paused partitions at their assignment and imported
    everything at once; two cores, and other programs on them.
    """

    field: str
    before: float
    most: float | None = None


FIGURES: Final = {
    "from the assignment to the first row": Figure("after_assignment", 2.3, 0.2),
    "from the process's start to the first row": Figure("written", 4.5, 1.5),
    "a whole emit": Figure("emitted", 0.85, 0.4),
    "a whole emit, processor time": Figure("emitted_cpu", 0.38),
}


def _median(found: Sequence[Start], field: str) -> float:
    return float(statistics.median(getattr(start, field) for start in found))


def table(found: Sequence[Start]) -> Table:
    shown = plain_table(f"the median of {len(found)} starts", [""], ["seconds", "before"])
    for what, figure in FIGURES.items():
        shown.add_row(what, f"{_median(found, figure.field):.2f}", f"{figure.before:.2f}")
    return shown


def as_dict(found: Sequence[Start]) -> dict[str, Any]:
    return {f"{figure.field}_seconds": round(_median(found, figure.field), 3) for figure in FIGURES.values()}


def targets(found: Sequence[Start]) -> list[Target]:
    return [
        Target(what, f"{median:.2f} s", f"under {figure.most:g} s", median < figure.most)
        for what, figure in FIGURES.items()
        if figure.most is not None
        for median in [_median(found, figure.field)]
    ]
