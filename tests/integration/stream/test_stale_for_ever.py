"""A database that says of every connection that it is stale, on a real broker and a real PostgreSQL."""

from __future__ import annotations

import pytest
from support.deployment import Deployment, made_events

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def test_a_write_that_is_stale_on_every_connection_stops_the_consumer_and_commits_nothing(deployed: Deployment) -> None:
    deployed.produce_events(made_events(10, 3))
    deployed.query(
        "CREATE FUNCTION unfit() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE 'not here' USING ERRCODE = '0A000'; END $$"
    )
    deployed.query("CREATE TRIGGER unfit BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION unfit()")
    done = deployed.run("consume", "--until-caught-up", code=1)
    assert "again, on a new connection" in done.stderr + done.stdout
    assert (done.stderr + done.stdout).count("connecting anew") == 1
    assert sum(deployed.committed().values()) == 0
    deployed.query("DROP TRIGGER unfit ON jobs")
    deployed.drain()
    deployed.assert_exact()
