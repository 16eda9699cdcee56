"""A real Prometheus watches a real consumer, a worker and a console while real faults happen, by the shipped rules.

The rules' minutes are seconds here (`support/prometheus.py`, `shortened`); nothing else of them is changed. How long
the burn rates last, and that nothing fires in healthy hours, is shown by promtool in tests/contract/test_alerts.py.
"""

from __future__ import annotations

import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from jobstatus_local.ports import LOOPBACK, PortLease
from jobstatus_local.postgres import LocalPostgres
from jobstatus_producer import BufferFullError, JobStatusProducer, UndeliveredError
from jobstatus_producer.prometheus import ProducerCollector
from jobstatus_schemas import JobStatusEvent
from prometheus_client import CollectorRegistry, start_http_server
from support.breakable import Breakable
from support.console import console_process
from support.dashboards import queries
from support.deployment import ConsumerProcess, Deployment, deployment, locked, made_events
from support.inside import run_inside
from support.prometheus import Prometheus, alerts, promtool, running
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]

BUDGET: Final = 10
POISON: Final = 9
"""Dead letters in a row, one fewer than stop the consumer."""
BURNS: Final = {"JobstatusFreshnessBurnFast", "JobstatusFreshnessBurnSlow"}
"""Each outage here makes them fire, and their windows outlast the run: promtool shows when they end."""
TOKEN: Final = "a-token-of-some-length"
VERIFY_EVERY: Final = 2
"""Seconds; an alert comes after three times that."""
ELSEWHERE: Final = {"JobstatusTargetWaiting", "JobstatusCertificateExpires"}
"""Shown by promtool alone: this run has no table of an application, and no certificates."""


class Worker:
    """A worker that reports ten events a second through a producer with a spool, and serves its metrics.

    A second producer has no spool and room for two events.
    """

    def __init__(self, broker: Breakable, topic: str, spool: Path) -> None:
        self.jobs = JobStatusProducer.from_env(broker.environ(topic, spool))
        self._narrow = JobStatusProducer.from_env(
            broker.environ(topic, MAX_PENDING_EVENTS=2, MAX_BLOCK_SECONDS=0, WORKER_ID="narrow")
        )
        registry = CollectorRegistry()
        registry.register(ProducerCollector(self.jobs, self._narrow))
        self._server, self._serving = start_http_server(0, "127.0.0.1", registry)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._stop, self._reports = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def report(self) -> None:
        """Report from now on."""
        self._reports.set()

    def _run(self) -> None:
        step = 0
        while not self._stop.wait(0.1):
            if self._reports.is_set():
                step += 1
                self.jobs.update_job_status(f"job-{step % 20}", "success")

    def fill(self) -> None:
        """Report through the producer without a spool until it has no room."""
        for _ in range(2):
            self._narrow.update_job_status("narrow", "success")
        with pytest.raises(BufferFullError):
            self._narrow.update_job_status("narrow", "success")

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for each in (self.jobs, self._narrow):
            try:
                each.close(10)
            except UndeliveredError as error:
                raise AssertionError(f"not delivered: {error}") from None
        self._server.shutdown()
        self._server.server_close()
        self._serving.join()


@contextmanager
def watched(broker: Breakable, deployed: Deployment, folder: Path) -> Iterator[tuple[Prometheus, Worker, int]]:
    """A worker, and a Prometheus that scrapes it, a console, and the port where the consumer is to answer."""
    worker = Worker(broker, deployed.topic, folder / "spool")
    (folder / "prometheus").mkdir()
    try:
        verifying = console_process(
            deployed, folder / "console.log", "--verify-every", f"{VERIFY_EVERY}s", JOBSTATUS_CONSOLE_TOKEN=TOKEN
        )
        with PortLease() as lease, verifying as console:
            targets = {
                "jobstatus-consumer": f"127.0.0.1:{lease.port}",
                "jobstatus-worker": worker.address,
                "jobstatus-console": f"{LOOPBACK}:{console.server.port}",
            }
            with running(folder / "prometheus", targets, {"jobstatus-console": TOKEN}) as prometheus:
                yield prometheus, worker, lease.port
    finally:
        worker.close()


def stuck_since(seconds: float, status: str) -> JobStatusEvent:
    at = int((time.time() - seconds) * 1e6)
    return JobStatusEvent(str(uuid.uuid4()), "stuck", status, None, None, "worker-1", at)


def fill_table(deployed: Deployment) -> None:
    """Rows of several statuses with statistics of them, and a job that has been silent for an hour."""
    deployed.produce_events(made_events(400, 100))
    deployed.produce_events([stuck_since(3600, "waiting")])
    deployed.drain()
    deployed.query("ANALYZE jobs")


def start_consumer(deployed: Deployment, port: int) -> ConsumerProcess:
    more: dict[str, Any] = {
        "JOBSTATUS_HTTP_ADDRESS": f"127.0.0.1:{port}",
        "JOBSTATUS_DEADLINES": "waiting=10m",
        "JOBSTATUS_DLQ_BUDGET_IN_A_ROW": str(BUDGET),
        "JOBSTATUS_KAFKA_STATISTICS_INTERVAL_MS": "1000",
    }
    return deployed.consumer(**more)


def test_each_alert_fires_for_its_fault_and_ends_and_every_panel_has_data(breakable: Breakable, tmp_path: Path) -> None:
    broker = breakable.kafka.bootstrap_servers
    with (
        LocalPostgres() as postgres,
        deployment(broker, postgres.url, tmp_path) as deployed,
        watched(breakable, deployed, tmp_path) as (prometheus, worker, port),
    ):
        fill_table(deployed)
        seen = Seen(prometheus)
        seen.fires("JobstatusNoConsumer")
        consumer = start_consumer(deployed, port)
        deployed.produce(("job", b"no event", ()) for _ in range(POISON))
        seen.fires("JobstatusDeadLettersGrowing", "JobstatusDeadLetterBudgetNearlyUsed", "JobstatusOverdueJobs")
        seen.resolves("JobstatusNoConsumer")

        deployed.query("UPDATE jobs SET error_message = 'by hand' WHERE job_id = 'stuck'")
        seen.fires("JobstatusTableDiffers")
        run_inside(deployed, "verify", "--repair")
        seen.resolves("JobstatusTableDiffers")

        # good events: the dead letters in a row end, and so does the silence of the stuck job
        deployed.produce_events([stuck_since(0, "success")])
        worker.report()
        with locked(deployed):
            every_panel_has_data(prometheus)
            promtool_accepts(f"http://127.0.0.1:{port}/metrics", f"http://{worker.address}/metrics")
            seen.fires("JobstatusWaitingForLock", "JobstatusLag", "JobstatusLagCritical")
        seen.resolves("JobstatusWaitingForLock", "JobstatusLag", "JobstatusLagCritical")

        # both at once: what is waited for is the database, and the brokers have an alert of their own
        postgres.stop("immediate")
        breakable.kafka.nodes[0].kill()
        worker.fill()
        seen.fires("JobstatusWaitingForDatabase", *BURNS)
        seen.fires("JobstatusBrokersUnreachable", "JobstatusEventsRejected", "JobstatusEventsUndelivered")
        seen.fires("JobstatusPartitionsUnassigned", "JobstatusSpoolGrowing", "JobstatusVerifyOverdue")
        postgres.start()
        breakable.kafka.nodes[0].start()
        seen.resolves(*(rule["alert"] for rule in alerts() if rule["alert"] not in BURNS))
        assert {rule["alert"] for rule in alerts()} == seen.names | ELSEWHERE
        assert consumer.stop() == 0


class Seen:
    """Waits for alerts, and remembers which of them fired."""

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus
        self.names: set[str] = set()

    def fires(self, *names: str) -> None:
        """Wait until each has fired; one that has ended meanwhile counts."""
        for name in names:
            fired = f'count_over_time(ALERTS{{alertname="{name}",alertstate="firing"}}[10m])'
            until(lambda fired=fired: self._prometheus.query(fired), f"{name} fires", 120, every=0.3)  # type: ignore[misc]
        self.names.update(names)

    def resolves(self, *names: str) -> None:
        """Wait until none of them fires any more."""
        self._prometheus.resolves(*names)


def every_panel_has_data(prometheus: Prometheus) -> None:
    for query in queries("10s"):
        until(lambda query=query: prometheus.query(query.expression), f"{query} has data", 120, every=0.3)  # type: ignore[misc]


def promtool_accepts(*urls: str) -> None:
    for url in urls:
        with urllib.request.urlopen(url, timeout=10) as answer:
            done = promtool("check", "metrics", given=answer.read().decode())
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), url
