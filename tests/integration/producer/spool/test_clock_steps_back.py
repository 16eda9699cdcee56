"""The machine's clock steps back, between two workers and in the middle of one: nothing old is put over new."""

from __future__ import annotations

from pathlib import Path

from integration.producer import scripts
from integration.producer.conftest import Environ
from integration.producer.reading import read_all
from jobstatus_local.kafka import LocalKafka


def test_a_clock_that_steps_back_puts_nothing_old_over_new(
    kafka: LocalKafka, topic: str, environ: Environ, tmp_path: Path
) -> None:
    steps = """
    import os, time
    real, back = time.time_ns, [-3_600_000_000_000 if AHEAD else 0]
    # before the import, so that nothing has the real clock
    time.time_ns = lambda: real() - back[0]
    from jobstatus_producer import JobStatusProducer
    jobs = JobStatusProducer.from_env()
    for step in range(20):
        if step == 10:
            back[0] += 60_000_000_000
        jobs.update_job_status("job", f"{os.environ['RUN']}{step}")
    """
    nobody = {**environ(topic, SPOOL_DIR=tmp_path, CLOSE_SECONDS=0.2), "RUN": "ahead-"}
    nobody["JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS"] = "127.0.0.1:1"
    ahead, now = (steps.replace("AHEAD", word) for word in ("True", "False"))
    assert scripts.run(ahead, nobody, prelude="")[0] == 0
    assert scripts.run(now, {**environ(topic, SPOOL_DIR=tmp_path), "RUN": "now-"}, prelude="")[0] == 0
    found = [record.event for record in read_all(kafka.bootstrap_servers, topic)]
    assert [event.status for event in found] == [f"{run}{step}" for run in ("ahead-", "now-") for step in range(20)]
    times = [event.occurred_at for event in found]
    assert times == sorted(set(times)), "they rise, over both processes and both steps"
