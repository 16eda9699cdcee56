"""A run: start everything, break it by the schedule, mend it, and recount."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import psycopg
from law.model import Row
from support.waiting import until

from chaos.checks import check_journal, check_letters, check_table
from chaos.ends import check_ends
from chaos.faults import FAULTS, SET_BACK
from chaos.findings import NO_PROGRESS, NOT_CAUGHT_UP, PROGRESS_DIFFERS, TARGET_WAITING
from chaos.history import History
from chaos.letters import Letters
from chaos.options import Options
from chaos.report import Injected, Report
from chaos.samples import Loop
from chaos.schedule import Step, steps
from chaos.stage import Stage
from chaos.world import PARTITIONS, World, a_world, tails

GOES_ON_WITHIN: Final = 120.0
FALLS_WITHIN: Final = 120.0
SETTLED_WITHIN: Final = 120.0

Say = Callable[[str], None]


def run(stage: Stage, options: Options, say: Say = lambda _: None) -> Report:
    """Play the faults on the stage and recount; what is found is in the report."""
    began = time.monotonic()
    report = Report(options.seed, options.seconds, [], options.broken)
    with ExitStack() as on_exit:
        folder = options.logs or Path(on_exit.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        folder.mkdir(parents=True, exist_ok=True)
        world = on_exit.enter_context(a_world(stage, folder, options))
        Play(world, options, report, say).through()
        report.seconds = time.monotonic() - began
        report.protocols = world.protocols
        report.findings = dict(world.findings.counts)
        report.details = world.findings.details
    return report


class Play:
    """One run in its three parts."""

    def __init__(self, world: World, options: Options, report: Report, say: Say) -> None:
        self._world = world
        self._options = options
        self._report = report
        self._say = say
        self._loops: list[Loop] = []

    def through(self) -> None:
        """The faults, while workers produce and samplers look; then the end; then the recount."""
        world = self._world
        looking = [
            Loop("ends", world.ends.step, 0.4),
            Loop("rows", world.rows.step, 0.2),
            Loop("commits", world.commits.step, 0.3),
            Loop("fleet", world.fleet.look, 0.5),
        ]
        with ExitStack() as samplers:
            self._loops = [samplers.enter_context(loop) for loop in looking]
            with ExitStack() as producing:
                makers = [Loop("raw producer", world.workers.raw.step, 0.02)]
                if world.application is not None:
                    makers.append(Loop("application", world.application.step, 0.05))
                self._loops += [producing.enter_context(loop) for loop in makers]
                self._break()
            self._settle()
        world.rows.step()
        world.fleet.stop()
        self._recount()

    def _break(self) -> None:
        world, options = self._world, self._options
        world.fleet.all_ready()
        self._goes_on(time.monotonic(), "the start")
        deadline = time.monotonic() + options.seconds
        for number, step in enumerate(self._steps()):
            if options.script is None and time.monotonic() >= deadline:
                break
            self._change_protocol(1 - (deadline - time.monotonic()) / options.seconds)
            self._inject(number, step)

    def _steps(self) -> Iterable[Step]:
        return self._options.script or steps(self._options.seed, {name: fault.what for name, fault in FAULTS.items()})

    def _change_protocol(self, done: float) -> None:
        """Each protocol has its share of the run."""
        protocols = self._options.protocols
        due = min(len(protocols), 1 + int(max(0.0, done) * len(protocols)))
        if due > len(self._world.protocols):
            self._world.use(protocols[due - 1])
            self._say(f"from here on: {protocols[due - 1]}")
            self._goes_on(time.monotonic(), "the change of protocol")

    def _inject(self, number: int, step: Step) -> None:
        seed = self._options.seed
        with ThreadPoolExecutor(len(step)) as pool:
            chances = [random.Random(f"{seed} {number} {name}") for name in step]
            hit = [
                pool.submit(FAULTS[name].action, self._world, chance)
                for name, chance in zip(step, chances, strict=True)
            ]
        went_on = self._goes_on(max(item.result() for item in hit), " and ".join(step))
        self._report.injected += [Injected(name, len(step) == 1, went_on) for name in step]
        after = "not" if went_on is None else f"after {went_on:.1f} s"
        self._say(f"{' and '.join(step)}: writes went on {after}; violations so far: {len(self._world.findings)}")
        for promise, detail in self._world.findings.news():
            self._say(f"VIOLATION: {promise}: {detail}")
        self._world.fleet.all_ready()

    def _goes_on(self, since: float, what: str) -> float | None:
        """Wait until everything is written that was in the log at `since`; how long that took."""
        timeline = self._world.rows.timeline
        bound = GOES_ON_WITHIN * self._options.patience

        def went_on() -> float | None:
            for loop in self._loops:
                if loop.error is not None:
                    raise loop.error
            return timeline.went_on(since)

        while True:
            committed = self._world.commits.committed
            try:
                return until(went_on, what, bound, every=0.1)
            except AssertionError:
                # a log is read again as fast as the machine can, and it becomes longer meanwhile
                if SET_BACK in what and self._world.commits.committed > committed:
                    continue
                self._world.findings.add(NO_PROGRESS, (what, since), f"{bound:g} s after: {what}")
                return None

    def _settle(self) -> None:
        """No more faults, no more events: everything is committed, and the lag falls within a bound until then."""
        world = self._world
        world.stage.whole()
        world.workers.stop(world.findings)
        world.endings.drain()
        self._say("mended; waiting for lag 0")
        began = time.monotonic()
        timeout = FALLS_WITHIN * self._options.patience
        least, fell_at = sys.maxsize, began
        # its own eyes: the samplers' are in use
        while (lag := _lag(world)) != 0 and time.monotonic() < fell_at + timeout:
            if lag is not None and lag < least:
                least, fell_at = lag, time.monotonic()
            time.sleep(0.2)
        if lag != 0:
            world.findings.add(NOT_CAUGHT_UP, "", f"{lag} records are not committed, {least} {timeout:g} s before")
        self._report.notes["seconds from the last event to lag 0"] = time.monotonic() - began
        if world.application is not None:
            self._all_settled(world.application.settled, SETTLED_WITHIN * self._options.patience)

    def _all_settled(self, settled: Callable[[], bool], timeout: float) -> None:
        """No job waits whose row is there, within a bound."""
        try:
            until(settled, "every job with a row has settled", timeout, every=0.5)
        except AssertionError:
            self._world.findings.add(TARGET_WAITING, "", f"jobs with a row wait after {timeout:g} s")

    def _recount(self) -> None:
        """From the topic's beginning, with fresh eyes."""
        world = self._world
        history, letters, ends = _reread(world)
        check_table(history.table, table(world.url), world.findings)
        check_letters(history, letters, world.findings)
        check_journal(world.workers.journal(), history, world.findings)
        check_ends(world.endings.ended, history.event_ids, world.findings)
        if world.application is not None:
            world.application.check(history.table)
        self._check_progress(ends)
        self._count(history, letters)

    def _check_progress(self, ends: dict[int, int]) -> None:
        world = self._world
        prefix = f"{world.deployed.topic}/{world.topic_id}/"
        known = dict(world.deployed.query("SELECT log_id, next_offset FROM jobs_progress"))
        for partition, end in ends.items():
            found = known.get(f"{prefix}{partition}")
            if found != end:
                world.findings.add(PROGRESS_DIFFERS, partition, f"{partition}: {found} is not {end}")

    def _count(self, history: History, letters: Letters) -> None:
        world = self._world
        self._report.counts = {
            "events accepted from workers": len(world.workers.journal()),
            "workers that ended by os._exit or SIGTERM": len(world.endings.ended),
            "events that their error lines call lost": sum(worker.named for worker in world.endings.ended),
            "records in the topic": history.events + len(history.poison),
            "events that changed a row": history.changed,
            "events superseded by the rule": history.events - history.changed,
            "rows": len(history.table),
            "poison": len(history.poison),
            "records in the dead letters' topic (at least once)": letters.copies.total(),
            "samples of the table": world.rows.watch.samples,
            "changes of rows seen in them": world.rows.watch.changes,
            "samples of committed offsets": world.commits.samples,
            "times that a consumer waited for the database": world.fleet.said("waiting for the database"),
            "times that a commit was refused or failed (logged)": world.fleet.said("a commit was refused"),
            "times that partitions were lost": world.fleet.said("lost partitions"),
        }
        self._report.notes["longest stop of consumers, in seconds"] = world.fleet.longest_stop


def _lag(world: World) -> int | None:
    """How many records are not committed; None where that cannot be asked now."""
    try:
        return world.deployed.lag()
    except Exception:  # noqa: BLE001 - whatever it is, it is asked again
        return None


def _reread(world: World) -> tuple[History, Letters, dict[int, int]]:
    events, dead = tails(world.deployed, world.topic_id)
    history, letters = History(), Letters(world.topic_id)
    try:
        ends = until(events.ends, "the ends of the topic")
        history.take(_everything(events.read_to(ends, 240)))
        letters.take(_everything(dead.read_to(until(dead.ends, "the ends of the dead letters"), 60)))
    finally:
        events.close()
        dead.close()
    history.advance(dict.fromkeys(range(PARTITIONS), 1 << 62))
    return history, letters, ends


def _everything(found: tuple[list[Any], bool]) -> list[Any]:
    records, reached = found
    assert reached, "the topic was not read to its end in time"
    return records


def table(url: str) -> dict[str, Row]:
    """The table in the model's words."""
    with psycopg.connect(url) as connection:
        found: Iterator[tuple[Any, ...]] = connection.execute(
            "SELECT job_id, status, error_message, attempt, worker_id, "
            "(extract(epoch FROM occurred_at) * 1000000)::bigint, event_id::text, "
            "(extract(epoch FROM latest_occurred_at) * 1000000)::bigint, log_id, log_offset FROM jobs"
        )
        return {str(job_id): Row(*values) for job_id, *values in found}
