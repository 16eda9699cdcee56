"""A database that forgets: it is healed from the log, without a command."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from support.deployment import Deployment, made_events
from support.fixture_types import OwnServer

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def test_a_data_folder_restored_from_a_copy_is_healed(own_server: OwnServer) -> None:
    with own_server() as (postgres, deployed):
        events = made_events(6_000, 600)
        consumer = deployed.consumer()
        deployed.produce_events(events[:2_000])
        deployed.caught_up()
        postgres.stop()
        copy = postgres.data_dir.with_name("copy")
        shutil.copytree(postgres.data_dir, copy)
        _own_as(postgres.data_dir, copy)
        postgres.start()
        deployed.produce_events(events[2_000:4_000])
        deployed.caught_up()
        postgres.stop("immediate")
        shutil.rmtree(postgres.data_dir)
        shutil.move(copy, postgres.data_dir)
        postgres.start()
        deployed.produce_events(events[4_000:])
        consumer.says("the log heals the table")
        deployed.settled()
        deployed.assert_exact()
        assert consumer.stop() == 0


def _own_as(original: Path, copy: Path) -> None:
    owner = original.stat()
    for path in (copy, *copy.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)
    copy.chmod(0o700)


def forget_the_end(deployed: Deployment) -> None:
    """The database loses what was written of each log from offset 200 on."""
    deployed.query("DELETE FROM jobs WHERE log_offset > 200")
    deployed.query("UPDATE jobs_progress SET next_offset = least(next_offset, 200)")


def test_deleted_rows_and_progress_come_back_with_the_next_connection(deployed: Deployment) -> None:
    deployed.produce_events(made_events(2_000, 300))
    consumer = deployed.consumer()
    deployed.caught_up()
    forget_the_end(deployed)
    deployed.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'jobstatus'")
    deployed.produce_events(made_events(100, 300, seed=2))
    consumer.says("the log heals the table")
    deployed.settled()
    deployed.assert_exact()


def test_an_idle_consumer_notices_that_the_database_lost_something(deployed: Deployment) -> None:
    """As after a fail-over to a standby that was behind, in a quiet hour: no event comes that would show it."""
    deployed.produce_events(made_events(2_000, 300))
    consumer = deployed.consumer()
    deployed.caught_up()
    forget_the_end(deployed)
    consumer.says("the log heals the table")
    deployed.settled()
    deployed.assert_exact()


def test_deleted_rows_and_progress_come_back_with_the_next_start(deployed: Deployment) -> None:
    deployed.produce_events(made_events(2_000, 300))
    deployed.drain()
    deployed.query("TRUNCATE jobs, jobs_progress")
    summary = deployed.drain()
    assert summary["events"] == 2_000
    deployed.assert_exact()
