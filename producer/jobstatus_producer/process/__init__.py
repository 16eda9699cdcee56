"""The life of the process: forks, SIGTERM and the end, and what each means for the producers in it."""

from __future__ import annotations

from jobstatus_producer.process.end import abandon, check_not_over
from jobstatus_producer.process.lifecycle import register, unregister
from jobstatus_producer.process.os_fork import note_client_quiet, note_client_start

__all__ = ["abandon", "check_not_over", "note_client_quiet", "note_client_start", "register", "unregister"]
