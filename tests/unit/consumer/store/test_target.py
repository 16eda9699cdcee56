"""What a target file says without a database: which columns its expressions name."""

from __future__ import annotations

import pytest
from jobstatus_consumer.store.layout import MANAGED
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.projection import Projection
from jobstatus_consumer.store.target import Mapped, Target
from jobstatus_consumer.store.target_catalog import TargetColumn, TargetShape

JOBS = TableName("app", "jobs")
EVERY = [column.name for column in MANAGED.columns]


def target(expression: str) -> Target:
    return Target("file", JOBS, (Mapped("id", "event.job_id"),), (Mapped("word", expression),))


def column(name: str) -> TargetColumn:
    return TargetColumn(
        name,
        "text",
        is_string=True,
        is_domain=False,
        spelling=None,
        generated=False,
        full_type="text",
        not_null=False,
        has_default=False,
        most=None,
        comparable=True,
    )


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("event.status", ["job_id", "status"]),
        ("EVENT . Status || event.attempt", ["job_id", "status", "attempt"]),
        ("'a' -- nothing of it", ["job_id"]),
        ('event."status"', EVERY),
        ('"event".status', EVERY),
        ("to_jsonb(event) ->> 'status'", EVERY),
    ],
)
def test_only_the_columns_that_an_expression_names_are_returned(expression: str, names: list[str]) -> None:
    shape = TargetShape(JOBS, TableName("app", "state"), {name: column(name) for name in ("id", "word")}, False)
    text = Projection(target(expression), shape).write().text.decode()
    returned = text.split("RETURNING ", 1)[1].split("\n", 1)[0]
    assert returned == ", ".join(f'"t"."{name}"' for name in names)


@pytest.mark.parametrize(
    ("expression", "mentions"),
    [
        ("job.status", True),
        ("coalesce(JOB . started_at, event.occurred_at)", True),
        ('"job".status', True),
        ("to_jsonb(job)", True),
        ("event.job_id", False),
        ("jobs.status", False),
        ("event.status", False),
        ("my.job.status", False),
    ],
)
def test_each_event_counts_where_a_value_depends_on_the_row(expression: str, mentions: bool) -> None:
    assert target(expression).mentions_job is mentions
