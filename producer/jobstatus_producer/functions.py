"""The functions that the old pipeline called, with its signatures. The first call makes the producer behind them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from jobstatus_producer.client import JobId, JobStatusProducer


class _Default:
    """The one producer of the process that the functions share."""

    def __init__(self) -> None:
        self._producer: JobStatusProducer | None = None
        self.environ: Callable[[], Mapping[str, str]] = lambda: os.environ
        self.reset_lock()

    def reset_lock(self) -> None:
        """For a forked child: a thread that only the parent has may hold the lock."""
        # reentrant, because a signal handler that reports may interrupt the first call
        self._lock = threading.RLock()

    def get(self) -> JobStatusProducer:
        """The producer, made at the first call."""
        if self._producer is None:
            with self._lock:
                if self._producer is None:
                    producer = JobStatusProducer.from_env(self.environ())
                    # a signal handler may have made one in the meantime
                    self._producer = self._producer or producer
        return self._producer


_DEFAULT: Final = _Default()
os.register_at_fork(after_in_child=_DEFAULT.reset_lock)


def default_producer() -> JobStatusProducer:
    """The producer behind these functions. The first call makes it, and raises as `JobStatusProducer.from_env` does."""
    return _DEFAULT.get()


def read_environ_from(environ: Callable[[], Mapping[str, str]]) -> None:
    """Have the first call take the variables that `environ` returns, in place of the process's environment."""
    _DEFAULT.environ = environ


def update_job_status(job_id: JobId, status: str, error_message: object = None) -> None:
    """Report that `job_id` is now `status`. Blocks and raises as `JobStatusProducer.update_job_status` does."""
    default_producer().update_job_status(job_id, status, error_message)


def batch_update_job_status(job_id: JobId, status: str, error_message: object = None) -> None:
    """The same as `update_job_status`; the consumer makes the batches."""
    default_producer().update_job_status(job_id, status, error_message)


def flush_job_status_updates(timeout: float | None = None) -> int:
    """Block until the events reported so far are acknowledged, as `JobStatusProducer.flush` does."""
    return default_producer().flush(timeout)


def get_batch_update_stats() -> dict[str, Any]:
    """`JobStatusProducer.stats` as a dict."""
    return asdict(default_producer().stats())
