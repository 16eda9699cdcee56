"""Who produces during a run: workers with the real producer, and a raw one for what that never sends."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from confluent_kafka import KafkaError, Producer
from jobstatus_consumer.core.cut import LARGEST_KEPT
from jobstatus_schemas import JobStatusEvent, encode
from jobstatus_schemas.protocol import LATE_HEADER
from support.foreign import UNREADABLE, ForeignClient
from support.forked import Command

from chaos.findings import WORKER_FAILED, Findings
from chaos.poison import CHECK_OF_A_SHARED_JOB, HEAVY, KINDS, Record, poisoned

SCRIPT: Final = Path(__file__).with_name("worker.py")
STOP_SECONDS: Final = 90.0
FOREIGN_SHARE: Final = 0.02
"""of the raw producer's events: their header has a name that is not UTF-8"""


class WorkerProcess:
    """One worker; killed and started again it goes on with its spool and its journal."""

    def __init__(self, name: str, folder: Path, environ: Mapping[str, str], arguments: list[str]) -> None:
        self.name = name
        self.journal = folder / f"{name}.journal"
        self.journal.touch()
        self._log = folder / f"{name}.log"
        self._environ = {**environ, "JOBSTATUS_SPOOL_DIR": str(folder / f"spool-{name}"), "JOBSTATUS_WORKER_ID": name}
        self._arguments = arguments
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as out:
            command = [sys.executable, str(SCRIPT), str(self.journal), *self._arguments]
            return Command[bytes](command, env=self._environ, stdout=out, stderr=subprocess.STDOUT)

    def kill(self) -> None:
        """SIGKILL, and again from the start: its spool has what was accepted and not delivered."""
        self._process.kill()
        self._process.wait(30)
        self._process = self._start()

    def stop(self, findings: Findings) -> None:
        """SIGTERM; it must deliver everything that it accepted."""
        self._process.send_signal(signal.SIGTERM)
        try:
            code: int | str = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = f"not within {STOP_SECONDS:g} s"
        if code != 0:
            findings.add(WORKER_FAILED, self.name, f"{self.name} ended with {code}: {self._log.read_text()[-1500:]}")

    def close(self) -> None:
        """SIGKILL if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(30)

    def accepted(self) -> list[str]:
        """The event ids of its journal; a last line that a SIGKILL cut short is none."""
        return [line for line in self.journal.read_text("ascii").split("\n") if len(line) == 36]


class RawProducer:
    """Poison of every kind, late events and odd attempts, at a steady rate; keeps what the broker acknowledged."""

    def __init__(self, bootstrap: str, topic: str, seed: int, rate: float, poison_share: float) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "linger.ms": 5,
                "log_level": 0,
                "compression.type": "gzip",
                "message.max.bytes": 2 * LARGEST_KEPT,
            }
        )
        self._foreign = ForeignClient(bootstrap)
        self._topic = topic
        self._chance = random.Random(f"raw {seed}")
        self._poison_share = poison_share
        self._rate = rate
        self._began = time.monotonic()
        self._sent = 0
        self._kinds = [*KINDS, *(kind for kind in KINDS if kind not in HEAVY)]
        self.acknowledged: list[str] = []
        self.failed = 0

    def step(self) -> None:
        """Send what is due by now."""
        due = int((time.monotonic() - self._began) * self._rate)
        while self._sent < due:
            self._sent += 1
            self._send()
        self._producer.poll(0)

    def _send(self) -> None:
        event = self._event()
        if self._chance.random() < self._poison_share:
            # each kind in its turn, so that a short run has all of them
            kind = self._kinds.pop(0)
            self._kinds.append(kind)
            if kind == CHECK_OF_A_SHARED_JOB:
                event = self._plain(event)
            self._produce(poisoned(kind, event, self._chance), "")
        elif self._chance.random() < 0.3:
            self._produce_event(self._plain(event), late=False)
        else:
            late = self._chance.random() < 0.4
            self._produce_event(self._aged(event) if late else event, late=late)

    def _event(self) -> JobStatusEvent:
        chance = self._chance
        event_id = str(UUID(int=chance.getrandbits(128), version=4))
        attempt = chance.choice((None, None, 0, 1, 1, 2, 2, 3))
        status = chance.choice(("pending", "processing", "success"))
        return JobStatusEvent(event_id, f"job-{chance.randrange(60)}", status, None, attempt, "raw", _now())

    def _plain(self, event: JobStatusEvent) -> JobStatusEvent:
        """Of a job whose events have neither attempts nor delays."""
        return event._replace(job_id=f"plain-{self._chance.randrange(20)}", attempt=None, occurred_at=_now())

    def _aged(self, event: JobStatusEvent) -> JobStatusEvent:
        """As if it came out of a spool, some seconds after it was made; or from a clock that runs ahead."""
        return event._replace(occurred_at=_now() - int(self._chance.uniform(-3, 20) * 1e6))

    def _produce_event(self, event: JobStatusEvent, *, late: bool) -> None:
        if self._chance.random() < FOREIGN_SHARE:
            headers_of_bytes = [(UNREADABLE, b"1"), *[(LATE_HEADER.encode(), b"1")] * late]
            self._foreign.send(self._topic, event.job_id.encode(), encode(event), headers_of_bytes)
            return
        headers = [(LATE_HEADER, b"1")] if late else []
        self._produce(Record(event.job_id.encode(), encode(event), headers), event.event_id)

    def _produce(self, record: Record, event_id: str) -> None:
        try:
            self._producer.produce(
                self._topic,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
                on_delivery=partial(self._delivered, event_id),
            )
        except BufferError:
            self.failed += 1

    def _delivered(self, event_id: str, error: KafkaError | None, _message: Any) -> None:
        if error is not None:
            self.failed += 1
        elif event_id:
            self.acknowledged.append(event_id)

    def stop(self) -> int:
        """Deliver what is left; how many are not."""
        return self._producer.flush(60) + (not self._foreign.close())


def _now() -> int:
    return time.time_ns() // 1000


class Workers:
    """All of them, and their journal."""

    def __init__(self, bootstrap: str, topic: str, folder: Path, seed: int, rate: float, poison_share: float) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("JOBSTATUS_")}
        self.environ = {**kept, "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": bootstrap, "JOBSTATUS_TOPIC": topic}
        share = [f"{rate / 3:g}", "400"]
        # only a durable producer promises that its own SIGKILL loses nothing
        durable = {**self.environ, "JOBSTATUS_DURABLE": "true"}
        self._lock = threading.Lock()
        self.durable = WorkerProcess("durable", folder, durable, ["1", *share])
        self.plain = WorkerProcess("plain", folder, self.environ, ["2", *share])
        self.raw = RawProducer(bootstrap, topic, seed, rate / 3, poison_share)

    def kill(self) -> float:
        """SIGKILL to the durable one, which starts again; returns when."""
        with self._lock:
            self.durable.kill()
        return time.monotonic()

    def stop(self, findings: Findings) -> None:
        """Everything that was accepted is delivered, or it is a finding."""
        for worker in (self.durable, self.plain):
            worker.stop(findings)
        if left := self.raw.stop():
            findings.add(WORKER_FAILED, "raw", f"{left} records were not delivered within 60 s")

    def journal(self) -> dict[str, str]:
        """Event id to who wrote it down, for all that was accepted."""
        raw = dict.fromkeys(self.raw.acknowledged, "the raw producer")
        return {**raw, **{event_id: w.name for w in (self.durable, self.plain) for event_id in w.accepted()}}

    def close(self) -> None:
        """End what still runs."""
        self.durable.close()
        self.plain.close()
