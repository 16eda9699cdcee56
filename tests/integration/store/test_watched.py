"""What is asked of the table for the metrics: estimates without a look at the rows."""

from __future__ import annotations

import psycopg
import pytest
from jobstatus_consumer.store import WatchedTable
from psycopg.rows import TupleRow

pytestmark = pytest.mark.postgres


def test_rows_by_status_are_estimated_from_the_statistics_and_not_known_before_there_are_any(
    url: str, database: psycopg.Connection[TupleRow]
) -> None:
    with WatchedTable(url, "jobs") as table:
        assert table.estimated_by_status() == {}
        database.execute(
            "INSERT INTO jobs (job_id, status, occurred_at, latest_occurred_at) SELECT 'job-' || n, "
            "CASE WHEN n % 4 = 0 THEN 'error' ELSE 'success' END, now(), now() FROM generate_series(1, 1000) AS n"
        )
        database.execute("ANALYZE jobs")
        assert table.estimated_by_status() == {"error": 250, "success": 750}
        database.execute("DELETE FROM jobs")
        assert sum(table.estimated_by_status().values()) == 1000, "as of the last ANALYZE"
