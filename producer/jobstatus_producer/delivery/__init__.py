"""From an accepted update to the broker's acknowledgement. `Outbox` owns the state, and `Sender` is the thread."""

from __future__ import annotations

from jobstatus_producer.delivery.acks import AckWaiter
from jobstatus_producer.delivery.intake import ENDS_WITHIN_SECONDS
from jobstatus_producer.delivery.outbox import Outbox
from jobstatus_producer.delivery.sender import Sender
from jobstatus_producer.delivery.stats import Stats
from jobstatus_producer.delivery.waits import aput_within, put_within, wait_until_settled

__all__ = [
    "ENDS_WITHIN_SECONDS",
    "AckWaiter",
    "Outbox",
    "Sender",
    "Stats",
    "aput_within",
    "put_within",
    "wait_until_settled",
]
