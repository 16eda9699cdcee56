"""One worker process: reports statuses at a steady rate through the real producer, and writes down what was accepted.

    worker.py <journal> <seed> <events a second> <jobs>

The journal has a line for each event that `update_many` took, written after it returned. SIGTERM ends it: 0 where
everything accepted was delivered.
"""

from __future__ import annotations

import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from jobstatus_producer import BufferFullError, JobStatusProducer
from jobstatus_schemas import JobStatusEvent

STATUSES = ("pending", "processing", "success", "error")
CLOSE_SECONDS = 60.0


def events(seed: int, jobs: int) -> Iterator[JobStatusEvent]:
    """Statuses of random jobs, an attempt with half of them."""
    chance = random.Random(f"{seed} {time.time_ns()}")
    while True:
        status = chance.choice(STATUSES)
        event_id = str(UUID(int=chance.getrandbits(128), version=4))
        attempt = chance.choice((None, None, None, 1, 1, 2)) if chance.random() < 0.9 else chance.randrange(5)
        message = "it broke: ü \"quoted\" \\ 'so'" if status == "error" else None
        yield JobStatusEvent(event_id, f"job-{chance.randrange(jobs)}", status, message, attempt, f"worker-{seed}", 0)


def main(journal: Path, seed: int, rate: float, jobs: int) -> None:
    """Report until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    began = time.monotonic()
    with journal.open("a", encoding="ascii") as accepted:
        producer = JobStatusProducer.from_env()
        for number, event in enumerate(events(seed, jobs)):
            # the one place where a worker paces itself
            if stop.wait(max(0.0, began + number / rate - time.monotonic())):
                break
            try:
                producer.update_many([event])
            except BufferFullError:
                continue
            accepted.write(event.event_id + "\n")
            accepted.flush()
        producer.close(CLOSE_SECONDS)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
