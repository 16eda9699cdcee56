"""How the application's threads and tasks wait: for room in the outbox, and for the broker's acknowledgements."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from jobstatus_producer.delivery.acks import AckWaiter
from jobstatus_producer.delivery.outbox import Outbox
from jobstatus_producer.record import CheckedUpdate

STEP_SECONDS: Final = 0.02


def put_within(
    outbox: Outbox, updates: Sequence[CheckedUpdate], seconds: float, waiter: AckWaiter | None = None
) -> bool:
    """`Outbox.put` that blocks for up to `seconds` until there is room. False: there was none; nothing is accepted."""
    deadline = time.monotonic() + seconds
    while not outbox.put(updates, waiter, seconds=deadline - time.monotonic()):
        left = deadline - time.monotonic()
        if left <= 0:
            outbox.reject(updates)
            return False
        outbox.wake()
        outbox.poll(min(left, STEP_SECONDS))
    return True


async def aput_within(
    outbox: Outbox, updates: Sequence[CheckedUpdate], seconds: float, waiter: AckWaiter | None = None
) -> bool:
    """`put_within` that never blocks the event loop."""
    deadline = time.monotonic() + seconds
    while not outbox.put(updates, waiter, may_block=False):
        # in a thread, because this may wait for the spool file, or for a drain that ends
        if await asyncio.to_thread(outbox.put, updates, waiter, seconds=deadline - time.monotonic()):
            return True
        if time.monotonic() >= deadline:
            outbox.reject(updates)
            return False
        outbox.wake()
        await asyncio.sleep(STEP_SECONDS)
    return True


def wait_until_settled(outbox: Outbox, seconds: float, *, unless_blocked: bool = False) -> int:
    """Block until what was accepted before this call is settled, for up to `seconds`. Returns how much is not.

    With `unless_blocked` it ends early when an attempt to drain the backlog fails.
    """
    deadline = time.monotonic() + seconds
    outbox.accept_set_aside()
    up_to = outbox.newest_accepted
    outbox.wake()
    while left := outbox.unsettled(up_to):
        remaining = deadline - time.monotonic()
        if remaining <= 0 or (unless_blocked and outbox.is_blocked):
            break
        outbox.poll(min(remaining, STEP_SECONDS))
    return left
