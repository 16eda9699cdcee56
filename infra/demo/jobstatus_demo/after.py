"""The second part: the same updates through jobstatus; the consumer is killed half way and started again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from jobstatus_demo.before import assignments
from jobstatus_demo.children import Consumer, Workers, wait_until
from jobstatus_demo.figures import After, Calls, Cost, Crash
from jobstatus_demo.show import Show
from jobstatus_demo.stage import Stage
from jobstatus_demo.watch import Watch
from jobstatus_demo.worker import Work

READY_SECONDS: Final = 90.0
GONE_SECONDS: Final = 30.0
NEVER: Final = 86_400.0


def run_after(stage: Stage, env: Mapping[str, str], folder: Path, show: Show) -> After:
    """Start the workers, kill the consumer half way, start it again, wait for lag 0, and count all of it.

    Blocks until then; raises `DemoError` if a step takes too long or a child ends by itself.
    """
    plan = stage.plan
    with Watch(stage.tables.connect, plan.name, plan.table) as watch:
        start = stage.tables.counters()
        went = _go(stage, env, folder, show)
        end = stage.tables.counters()
    noted = stage.tables.noted_after()
    in_topic = sum(stage.topic.ends().values())
    cost = Cost(
        updates=stage.tables.written(),
        seconds=went.seconds,
        connections=stage.tables.opened(start, end, noted),
        most_connections=watch.most_connections,
        transactions=noted.transactions,
        xids=end.xids - start.xids,
        calls=Calls.of(went.results),
    )
    return After(
        cost=cost,
        batches=noted.statements,
        crash=went.crash,
        redelivered=int(went.summary["events"]) - (in_topic - went.crash.written),
        gone_back=sorted(watch.gone_back),
        looks=watch.looks,
        workers_seconds=max(result.seconds for result in went.results),
        consumer=went.summary,
    )


class _Went(NamedTuple):
    seconds: float
    results: list[Work]
    crash: Crash
    summary: dict[str, Any]


def _go(stage: Stage, env: Mapping[str, str], folder: Path, show: Show) -> _Went:
    plan = stage.plan
    todo = assignments(plan, "jobstatus", plan.table, NEVER, folder)
    with (
        Consumer(env, folder / "consumer.log") as consumer,
        Workers(todo, env, folder) as workers,
        show.progress("2/3 through jobstatus", plan.updates) as progress,
    ):
        run = _Run(stage, consumer, progress)
        run.until("the consumer's place in the group", READY_SECONDS, stage.topic.has_a_member)
        started = time.monotonic()
        workers.go()
        run.until("half of the updates in the table", plan.patience, lambda: stage.tables.written() * 2 >= plan.updates)
        crash = run.crash(show)
        run.until("the workers' end", plan.patience, workers.done)
        run.until("lag 0", plan.patience, run.nothing_left)
        seconds = time.monotonic() - started
        progress(stage.tables.written())
        return _Went(seconds, workers.results(), crash, consumer.stop())


@dataclass
class _Run:
    """What the second part needs while it runs."""

    stage: Stage
    consumer: Consumer
    progress: Callable[[int], None]

    def until(self, what: str, seconds: float, there: Callable[[], bool]) -> None:
        """Block until `there()` is true, and show how far the table is; raises `DemoError` if the consumer ends."""
        wait_until(what, seconds, there, self._look, self.consumer.log)

    def _look(self) -> None:
        self.consumer.check()
        self.progress(self.stage.tables.written())

    def nothing_left(self) -> bool:
        """Lag 0: the group has committed everything that is in the topic."""
        committed = self.stage.topic.committed()
        return all(committed.get(number, 0) == end for number, end in self.stage.topic.ends().items())

    def crash(self, show: Show) -> Crash:
        """Kill the consumer, count what it has written, start it again, and wait until it writes."""
        stage = self.stage
        self.consumer.kill()
        killed = time.monotonic()
        # the server may still be running its last statement
        wait_until("its connection's end", GONE_SECONDS, lambda: stage.tables.consumer_connections() == 0, lambda: None)
        written, there = stage.tables.progress(), sum(stage.topic.ends().values())
        show.say(
            f"    SIGKILL after {sum(written.values()):,} of {stage.plan.updates:,} updates; the workers go on, "
            "the consumer is started again"
        )
        self.consumer.start()
        self.until("new rows", READY_SECONDS, lambda: stage.tables.progress() != written or self.nothing_left())
        return Crash(
            written=sum(written.values()),
            reported_meanwhile=sum(stage.topic.ends().values()) - there,
            seconds_without=time.monotonic() - killed,
        )
