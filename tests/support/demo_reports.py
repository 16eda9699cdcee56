"""The report of a demo, made without a demo. Everything went well, unless a test says otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from jobstatus_demo.figures import After, Calls, Cost, Crash
from jobstatus_demo.plan import Plan
from jobstatus_demo.recount import Recount
from jobstatus_demo.report import Report
from jobstatus_demo.servers import Servers

PLAN = Plan(run_id="0")
BEFORE = Cost(
    updates=1_000,
    seconds=8.0,
    connections=1_000,
    most_connections=16,
    transactions=1_000,
    xids=1_000,
    calls=Calls(calls=1_000, failed=0, p50_micros=90_000.0, p99_micros=150_000.0, total_seconds=95.0),
)


def a_cost(*, transactions: int = 242, most_connections: int = 1) -> Cost:
    """What the second part cost."""
    calls = Calls(calls=11_871, failed=0, p50_micros=110.0, p99_micros=340.0, total_seconds=1.6)
    return Cost(
        updates=11_871,
        seconds=16.0,
        connections=2,
        most_connections=most_connections,
        transactions=transactions,
        xids=transactions,
        calls=calls,
    )


def a_recount(*, missing: Sequence[str] = (), never_arrived: int = 0) -> Recount:
    """What the recount found."""
    return Recount(
        events=11_871,
        rows=3_957,
        missing=list(missing),
        behind=[],
        different=[],
        unexpected=[],
        never_arrived=never_arrived,
    )


def a_report(
    *, cost: Cost | None = None, recount: Recount | None = None, gone_back: Sequence[str] = (), redelivered: int = 300
) -> Report:
    """A whole report."""
    crash = Crash(written=6_000, reported_meanwhile=4_500, seconds_without=7.3)
    after = After(
        cost=cost or a_cost(),
        batches=242,
        crash=crash,
        redelivered=redelivered,
        gone_back=list(gone_back),
        looks=150,
        workers_seconds=8.0,
        consumer={},
    )
    servers = Servers("127.0.0.1:9092", "postgresql://127.0.0.1/jobs", "local", "local")
    return Report(PLAN, servers, BEFORE, after, recount or a_recount(), 41.0)
