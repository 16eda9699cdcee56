"""Records with everything that the rule asks for: attempts, late events, clocks that are off."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Sequence

from jobstatus_schemas import JobStatusEvent, encode
from jobstatus_schemas.protocol import LATE_HEADER

Record = tuple[str, bytes, Sequence[tuple[str, bytes]]]


def mixed_records(count: int, jobs: int, seed: int = 1, prefix: str = "job") -> list[Record]:
    """A third of the jobs give attempts, a tenth of the events are late, some clocks are a second off."""
    rng = random.Random(seed)
    now = int(time.time() * 1e6)
    found: list[Record] = []
    for number in range(count):
        which = rng.randrange(jobs)
        attempt = rng.randrange(1, 4) if which % 3 == 0 and rng.random() < 0.8 else None
        event = JobStatusEvent(
            str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            f"{prefix}-{which}",
            rng.choice(("pending", "processing", "success", "error")),
            rng.choice((None, "it broke: ü")),
            attempt,
            f"worker-{number % 16}",
            now + number + rng.choice((0, 0, 0, 1_000_000, -1_000_000)),
        )
        headers = [(LATE_HEADER, b"1")] if rng.random() < 0.1 else []
        found.append((event.job_id, encode(event), headers))
    return found
