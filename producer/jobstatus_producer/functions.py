"""What the old pipeline called, with its signatures, over one producer that the first call makes."""

from __future__ import annotations

import os
import threading
from dataclasses import asdict
from typing import Any

from jobstatus_producer.client import JobId, JobStatusProducer

_locks = [threading.RLock()]
_producer: list[JobStatusProducer] = []


def _after_fork() -> None:
    # another thread of the parent may have held it
    _locks[0] = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)


def default_producer() -> JobStatusProducer:
    """The process's one producer behind the functions of this module; made at the first call."""
    if _producer:
        return _producer[0]
    with _locks[0]:
        if not _producer:
            _producer.append(JobStatusProducer.from_env())
        return _producer[0]


def update_job_status(job_id: JobId, status: str, error_message: object = None) -> None:
    """Report that `job_id` is now `status`; see `JobStatusProducer.update_job_status`."""
    default_producer().update_job_status(job_id, status, error_message)


def batch_update_job_status(job_id: JobId, status: str, error_message: object = None) -> None:
    """The same as `update_job_status`: batching is the consumer's work."""
    default_producer().update_job_status(job_id, status, error_message)


def flush_job_status_updates(timeout: float | None = None) -> int:
    """Wait until the broker has what was reported so far; returns how many events it has not."""
    return default_producer().flush(timeout)


def get_batch_update_stats() -> dict[str, Any]:
    """`JobStatusProducer.stats` as a dict."""
    return asdict(default_producer().stats())
