"""Reports job statuses from a worker to Kafka.

from jobstatus_producer import JobStatusProducer
with JobStatusProducer.from_env() as jobs:
    jobs.update_job_status("job-17", "processing")
"""

from __future__ import annotations

from jobstatus_schemas import JobStatusEvent

from jobstatus_producer.client import JobStatusProducer
from jobstatus_producer.delivery import Stats
from jobstatus_producer.errors import (
    BufferFullError,
    EventsError,
    NotAcknowledgedError,
    ProducerClosedError,
    ProducerError,
    RefusedError,
    SettingsError,
    SpoolError,
    UndeliveredError,
)
from jobstatus_producer.functions import (
    batch_update_job_status,
    flush_job_status_updates,
    get_batch_update_stats,
    update_job_status,
)
from jobstatus_producer.settings import ProducerSettings

__all__ = [
    "BufferFullError",
    "EventsError",
    "JobStatusEvent",
    "JobStatusProducer",
    "NotAcknowledgedError",
    "ProducerClosedError",
    "ProducerError",
    "ProducerSettings",
    "RefusedError",
    "SettingsError",
    "SpoolError",
    "Stats",
    "UndeliveredError",
    "batch_update_job_status",
    "flush_job_status_updates",
    "get_batch_update_stats",
    "update_job_status",
]
