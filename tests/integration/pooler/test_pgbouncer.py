"""A real PgBouncer in between, in transaction mode and in session mode, which other programs use as well."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from jobstatus_consumer.store import Limits
from jobstatus_consumer.store.connection import open_connection
from support.deployment import Deployment, made_events
from support.inside import run_inside
from support.own_table import JOBS, TARGET
from support.pgbouncer import pgbouncer

SETTINGS = ("search_path", "synchronous_commit", "statement_timeout", "lock_timeout", "default_transaction_isolation")
SESSIONS = 3
OFF = {"JOBSTATUS_PREPARED_STATEMENTS": "off"}


@pytest.fixture
def by_transaction(deployed: Deployment, tmp_path: Path) -> Iterator[str]:
    with pgbouncer(deployed.database_url, tmp_path, "transaction", SESSIONS) as url:
        yield url


@pytest.fixture
def by_session(deployed: Deployment, tmp_path: Path) -> Iterator[str]:
    with pgbouncer(deployed.database_url, tmp_path, "session", 2) as url:
        yield url


def settings_of(url: str) -> Sequence[object]:
    """What a session of another program has."""
    query = "SELECT " + ", ".join(f"current_setting('{name}')" for name in SETTINGS)
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row


def settings_of_all(url: str) -> set[Sequence[object]]:
    """What all sessions of the pool have: each program's transaction is open until every one has its session."""
    query = "SELECT pg_backend_pid(), " + ", ".join(f"current_setting('{name}')" for name in SETTINGS)
    with ExitStack() as stack:
        found = {}
        for _ in range(SESSIONS):
            connection = stack.enter_context(psycopg.connect(url, prepare_threshold=None))
            row = connection.execute(query.encode()).fetchone()
            assert row is not None
            found[row[0]] = row[1:]
        assert len(found) == SESSIONS
        return set(found.values())


def test_in_transaction_mode_everything_works_with_the_setting_and_other_programs_notice_nothing(
    deployed: Deployment, by_transaction: str
) -> None:
    plain = settings_of(deployed.database_url)
    assert settings_of_all(by_transaction) == {plain}
    deployed.more |= {"JOBSTATUS_DATABASE_URL": by_transaction, **OFF}
    deployed.produce_events(made_events(700, 90))
    # another program's open transaction has the session that the last one was in
    with psycopg.connect(by_transaction, prepare_threshold=None) as other:
        other.execute("SELECT 1")
        assert run_inside(deployed, "check").stdout.startswith("all is ready")
        assert deployed.drain()["dead_letters"] == 0
        other.commit()
        other.execute("SELECT 1")
        deployed.produce_events(made_events(300, 90, seed=2))
        deployed.drain()
    deployed.assert_exact()
    for command in ("migrate", "verify", "status", "stuck --deadlines processing=1h", "history job-1", "dlq list"):
        run_inside(deployed, *command.split())
    run_inside(deployed, "replay", "--yes")
    run_inside(deployed, "replay", "--into", "copied", "--yes")
    assert deployed.query("SELECT count(*) FROM copied") == deployed.query("SELECT count(*) FROM jobs")
    deployed.assert_exact()
    assert settings_of_all(by_transaction) == {plain}


def test_what_a_row_is_refused_for_in_transaction_mode_is_a_dead_letter_and_the_others_are_written(
    deployed: Deployment, by_transaction: str
) -> None:
    deployed.query("ALTER TABLE jobs ADD CONSTRAINT known CHECK (status <> 'error') NOT VALID")
    events = [item._replace(job_id=f"job-{number}") for number, item in enumerate(made_events(100, 1))]
    deployed.produce_events(events)
    deployed.drain(JOBSTATUS_DATABASE_URL=by_transaction, **OFF)
    refused = {item.event_id for item in events if item.status == "error"}
    assert len(deployed.dead_letters()) == len(refused)
    assert set(deployed.rows()) == {item.job_id for item in events if item.event_id not in refused}


def test_in_transaction_mode_without_the_setting_check_names_it_and_nothing_is_set_in_the_shared_sessions(
    deployed: Deployment, by_transaction: str
) -> None:
    deployed.more |= {"JOBSTATUS_DATABASE_URL": by_transaction}
    plain = settings_of_all(by_transaction)
    done = run_inside(deployed, "check", "--json", code=1)
    (problem,) = json.loads(done.stdout)["problems"]
    assert "a pooler in transaction mode" in problem["what"]
    assert "JOBSTATUS_PREPARED_STATEMENTS=off" in problem["remedy"]
    stopped = run_inside(deployed, "consume", "--until-caught-up", code=1)
    assert "JOBSTATUS_PREPARED_STATEMENTS=off" in stopped.stderr
    assert settings_of_all(by_transaction) == plain


def test_purge_says_that_it_needs_a_session_of_its_own(deployed: Deployment, by_transaction: str) -> None:
    done = run_inside(
        deployed,
        *("purge", "--status", "success", "--older-than", "1d", "--yes"),
        code=1,
        JOBSTATUS_DATABASE_URL=by_transaction,
        **OFF,
    )
    assert "--prepared-statements on" in done.stderr


def test_in_transaction_mode_one_batch_is_on_its_way_at_a_time_and_a_line_says_so(
    deployed: Deployment, by_transaction: str
) -> None:
    deployed.more |= {"JOBSTATUS_DATABASE_URL": by_transaction, "JOBSTATUS_BATCHES_IN_FLIGHT": "4", **OFF}
    deployed.produce_events(made_events(300, 30))
    done = run_inside(deployed, "consume", "--until-caught-up")
    assert "JOBSTATUS_BATCHES_IN_FLIGHT has no effect" in done.stderr
    deployed.assert_exact()


@pytest.mark.parametrize(("prepared", "in_flight"), [("on", "1"), ("off", "1"), ("on", "4")])
def test_in_session_mode_it_works_with_and_without_the_setting(
    deployed: Deployment, by_session: str, prepared: str, in_flight: str
) -> None:
    deployed.more |= {
        "JOBSTATUS_DATABASE_URL": by_session,
        "JOBSTATUS_PREPARED_STATEMENTS": prepared,
        "JOBSTATUS_BATCHES_IN_FLIGHT": in_flight,
    }
    deployed.produce_events(made_events(200, 30))
    assert run_inside(deployed, "check").stdout.startswith("all is ready")
    deployed.drain()
    deployed.assert_exact()


def test_a_process_with_a_thousand_open_files_connects(by_session: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    files = [os.dup(0) for _ in range(1100)]
    try:
        with open_connection(by_session, Limits()) as connection:
            assert connection.fileno() > 1023
            assert connection.execute("SELECT 1").fetchall() == [(1,)]
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_url_with_sqlalchemys_driver_is_understood(deployed: Deployment) -> None:
    scheme, rest = deployed.database_url.split("://")
    for driver in ("psycopg", "psycopg2", "asyncpg"):
        deployed.more |= {"JOBSTATUS_DATABASE_URL": f"{scheme}+{driver}://{rest}"}
        assert run_inside(deployed, "check").stdout.startswith("all is ready")


def test_a_table_of_the_applications_own_is_written_in_transaction_mode(
    deployed: Deployment, by_transaction: str, tmp_path: Path
) -> None:
    file = tmp_path / "target.toml"
    deployed.query(JOBS.replace("jobs (", "work ("))
    file.write_text(TARGET.replace('"jobs"', '"work"'), "utf-8")
    deployed.query("INSERT INTO work (id) SELECT generate_series(0, 40)")
    deployed.more |= {"JOBSTATUS_DATABASE_URL": by_transaction, "JOBSTATUS_TARGET": str(file), **OFF}
    run_inside(deployed, "migrate")
    words = {"pending": "new"}
    events = made_events(200, 50)
    deployed.produce_events(
        item._replace(job_id=item.job_id.removeprefix("job-"), status=words.get(item.status, item.status))
        for item in events
    )
    run_inside(deployed, "check")
    assert deployed.drain()["dead_letters"] == 0
    run_inside(deployed, "verify")
    wrong = deployed.query(
        "SELECT count(*) FROM work AS w JOIN jobs AS j ON j.job_id = w.id::text WHERE w.status::text <> "
        "CASE j.status WHEN 'processing' THEN 'running' WHEN 'success' THEN 'done' WHEN 'error' THEN 'failed' "
        "ELSE j.status END"
    )
    assert wrong == [(0,)]
    assert deployed.query("SELECT count(*) > 5 FROM jobs_waiting") == [(True,)]
