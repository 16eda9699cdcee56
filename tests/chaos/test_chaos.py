"""The short form of the chaos run, and proof that its checker can fail."""

from __future__ import annotations

import pytest
from support.forked import COMMAND

from chaos import findings
from chaos.broken import broken_command
from chaos.faults import FAULTS
from chaos.options import Options
from chaos.run import run
from chaos.schedule import Step
from chaos.stage import Stage

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]

EVERYTHING_ONCE: list[Step] = [
    ("backends terminated", "durable worker killed", "foreign records"),
    ("broker killed (SIGKILL)", "statements fail for some jobs"),
    # early: all that was written until then is read again
    ("group's offsets set back to 0", "connections refused"),
    ("consumer killed (SIGKILL)", "PostgreSQL killed (SIGKILL)", "workers end by os._exit"),
    ("connections cut", "database read-only", "all consumers restarted in turn"),
    ("all consumers killed", "network deaf", "broker restarted (SIGTERM)"),
    ("health port beset, consumer stops", "PostgreSQL stopped, immediate"),
    ("network slow", "table locked by another session", "workers end by SIGTERM"),
    ("consumer restarted (SIGTERM)", "PostgreSQL stopped, fast"),
    # each of the three takes long by itself
    ("consumer frozen past its session", "network deaf for long", "a log loses its tail"),
]


@pytest.mark.timeout(900)
def test_whatever_breaks_nothing_is_lost_and_nothing_goes_back(stage: Stage) -> None:
    # one batch and several in flight, and both ways to flush, side by side
    options = Options(
        script=EVERYTHING_ONCE,
        seed=1,
        longer=0,
        rate=60,
        target=True,
        windows=(1, 4),
        flushes=("linger", "adaptive", "adaptive"),
    )
    report = run(stage, options, print)
    print(*report.lines(), sep="\n")
    assert report.violations == 0, report.details
    assert {item.name for item in report.injected} == {name for step in EVERYTHING_ONCE for name in step}
    # what was broken was in use, and what was looked at was there
    assert report.counts["events accepted from workers"] > 1000
    assert report.counts["poison"] > 12
    assert report.counts["workers that ended by os._exit or SIGTERM"] == 5
    assert report.counts["samples of the table"] > 20
    assert report.counts["samples of committed offsets"] > 5


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("broken", "script", "promises"),
    [
        (
            "guard",
            [("group's offsets set back to 0",)],
            {findings.WENT_BACK, findings.DIFFERENT_ROW},
        ),
        (
            "commit-order",
            [("table locked by another session",)],
            {findings.COMMIT_PAST_WRITE},
        ),
        (
            "classification",
            [("statements fail for some jobs",)],
            {findings.LETTER_WITHOUT_CAUSE},
        ),
        (
            "dead-letter-order",
            [("all consumers killed",)],
            {findings.COMMIT_PAST_LETTER, findings.LETTER_MISSING},
        ),
    ],
)
def test_a_broken_promise_is_reported_by_its_name(
    stage: Stage, broken: str, script: list[Step], promises: set[str]
) -> None:
    # one event a batch: each one is a moment at which the broken promise shows
    singly = broken in ("guard", "classification")
    options = Options(
        script=script,
        longer=0,
        rate=45 if singly else 90,
        poison_share=0.2,
        command=broken_command(broken),
        arguments=("--batch-max-events", "1") if singly else (),
        broken=broken,
        # without an order of commits the promise is broken while the lock is held, and consumers end again and again
        patience=0.05 if broken == "commit-order" else 0.2,
    )
    report = run(stage, options, print)
    print(*report.lines(), sep="\n")
    assert promises <= report.findings.keys()


def test_the_script_has_every_fault_once() -> None:
    assert sorted(name for step in EVERYTHING_ONCE for name in step) == sorted(FAULTS)
    assert COMMAND.endswith("jobstatus")
