"""A broker whose disk has changed what was written: the consumer stops with the place, and reads nothing wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.breakable import Breakable
from support.deployment import deployment, made_events

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def test_a_damaged_batch_stops_the_consumer_with_its_place(
    breakable: Breakable, database_url: str, tmp_path: Path
) -> None:
    kafka = breakable.kafka
    with deployment(kafka.bootstrap_servers, database_url, tmp_path, partitions=1) as deployed:
        events = made_events(30, 30)
        deployed.produce_events(events[:20])
        deployed.drain()
        deployed.produce_events([events[20]._replace(worker_id="worker-to-be-damaged")])
        deployed.produce_events(events[21:])
        (node,) = kafka.nodes
        node.terminate()
        segment = node.data_dir / f"{deployed.topic}-0" / f"{0:020d}.log"
        written = segment.read_bytes()
        assert written.count(b"worker-to-be-damaged") == 1
        segment.write_bytes(written.replace(b"worker-to-be-damaged", b"worker-that-is-wrong"))
        node.start()
        stopped = deployed.run("consume", "--until-caught-up", code=1)
        assert f"{deployed.topic}[0] is damaged at offset 20" in stopped.stderr
        assert "jobstatus offsets reset" in stopped.stderr
        assert deployed.committed() == {0: 20}
        assert len(deployed.rows()) == len({item.job_id for item in events[:20]})
        assert "is damaged at offset 20" in deployed.run("verify", code=1).stderr
        # skip the batch, and all behind it is read
        deployed.run("offsets", "reset", "--to", "0:21", "--yes")
        deployed.drain()
        assert "worker-that-is-wrong" not in {row.worker_id for row in deployed.rows().values()}
        assert {item.job_id for item in events[21:]} <= deployed.rows().keys()
