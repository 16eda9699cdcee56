"""The first part, the old way: every update opens a connection of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jobstatus_demo.children import Workers, wait_until
from jobstatus_demo.figures import Calls, Cost
from jobstatus_demo.plan import Plan
from jobstatus_demo.show import Show
from jobstatus_demo.stage import Stage
from jobstatus_demo.watch import Watch
from jobstatus_demo.worker import Assignment


def assignments(plan: Plan, way: str, table: str, stop_after: float, folder: Path) -> list[Assignment]:
    """What each worker has to do, the same in both parts."""
    return [
        Assignment(
            name=f"worker-{number + 1:02d}",
            way=way,
            table=table,
            jobs=plan.jobs_of(number),
            interval=plan.interval,
            stop_after=stop_after,
            result=str(folder / f"{way}-{number}.result.json"),
        )
        for number in range(plan.workers)
    ]


def run_before(stage: Stage, env: Mapping[str, str], folder: Path, show: Show) -> Cost:
    """Let the workers run for `before_seconds` at most, and count what it cost. Blocks until then."""
    plan = stage.plan
    todo = assignments(plan, "connections", stage.tables.before, plan.before_seconds, folder)
    with Watch(stage.tables.connect, plan.name, None) as watch, Workers(todo, env, folder) as workers:
        start = stage.tables.counters()
        with show.progress("1/3 as it was: a connection for every update", plan.updates) as progress:
            workers.go()
            wait_until(
                "the first part",
                plan.patience,
                workers.done,
                lambda: progress(stage.tables.noted_before().statements),
            )
            progress(stage.tables.noted_before().statements)
        results = workers.results()
    end, noted = stage.tables.counters(), stage.tables.noted_before()
    return Cost(
        updates=noted.statements,
        seconds=max(result.seconds for result in results),
        connections=stage.tables.opened(start, end, noted),
        most_connections=watch.most_connections,
        transactions=noted.transactions,
        xids=end.xids - start.xids,
        calls=Calls.of(results),
    )
