"""Reads job states for programs: a job, many jobs, jobs by status, and waiting until a job has a status.

    from jobstatus_reader import JobStatusReader

    with JobStatusReader.from_env() as reader:
        job = reader.await_status("job-1", until={"success", "error"}, timeout=60)

It needs psycopg (`pip install 'jobstatus[reader]'`) and SELECT on the managed table.
"""

from jobstatus_reader.errors import (
    DatabaseUnavailableError,
    NotReachedError,
    ReaderClosedError,
    ReaderError,
    ReaderSettingsError,
    ReaderSetupError,
)
from jobstatus_reader.job import COLUMNS, Job
from jobstatus_reader.reader import JobId, JobStatusReader, check_timeout, check_until

__all__ = [
    "COLUMNS",
    "DatabaseUnavailableError",
    "Job",
    "JobId",
    "JobStatusReader",
    "NotReachedError",
    "ReaderClosedError",
    "ReaderError",
    "ReaderSettingsError",
    "ReaderSetupError",
    "check_timeout",
    "check_until",
]
