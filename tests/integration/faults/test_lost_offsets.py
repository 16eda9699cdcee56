"""Offsets that are gone stop the consumer with facts and remedy; an accepted loss goes on, and says so."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from jobstatus_schemas import JobStatusEvent
from support.deployment import ConsumerProcess, Deployment, locked, made_events
from support.inside import run_inside
from support.topics import remove_records
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def admin(deployed: Deployment) -> AdminClient:
    return AdminClient({"bootstrap.servers": deployed.bootstrap})


def delete_before(deployed: Deployment, offset: int) -> None:
    """What retention does: the first offsets of every partition are gone."""
    remove_records(deployed.bootstrap, deployed.topic, dict.fromkeys(range(deployed.partitions), offset))


def make_again(deployed: Deployment) -> None:
    client = admin(deployed)
    client.delete_topics([deployed.topic])[deployed.topic].result(60)
    until(lambda: deployed.topic not in client.list_topics(timeout=10).topics, "the topic is gone")

    def made() -> bool:
        new = NewTopic(deployed.topic, deployed.partitions, 1, config={"message.timestamp.type": "LogAppendTime"})
        try:
            client.create_topics([new])[deployed.topic].result(60)
        except KafkaException as error:
            # the deletion may still be under way
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
            return False
        return True

    until(made, "the topic is made again")
    until(
        lambda: len(client.list_topics(deployed.topic, timeout=10).topics[deployed.topic].partitions) == 4, "partitions"
    )


def one_each(deployed: Deployment, count: int, status: str, seed: int) -> list[JobStatusEvent]:
    return [item._replace(job_id=f"job-{n}", status=status) for n, item in enumerate(made_events(count, 1, seed=seed))]


def assert_refused(deployed: Deployment, *words: str) -> None:
    done = deployed.run("consume", "--until-caught-up", code=1)
    for word in (*words, "--on-lost-offsets earliest"):
        assert word in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_retention_that_ran_ahead_stops_and_can_be_accepted(deployed: Deployment) -> None:
    deployed.produce_events(made_events(400, 100))
    deployed.drain()
    before = deployed.committed()
    deployed.produce_events(made_events(2_000, 100, seed=2))
    delete_before(deployed, 300)
    assert_refused(deployed, "retention ran ahead", "were never read")
    assert deployed.committed() == before
    summary = deployed.drain("--on-lost-offsets", "earliest")
    assert summary["dead_letters"] == 0
    assert deployed.lag() == 0
    # the new generation is in force, and another start finds nothing amiss
    assert {
        log.count("/") for (log,) in deployed.query("SELECT DISTINCT log_id FROM jobs WHERE log_id LIKE '%%/1'")
    } == {3}
    assert deployed.drain()["events"] == 0
    deployed.produce_events(one_each(deployed, 50, "final", 3))
    assert deployed.drain()["applied"] == 50


def test_a_topic_made_again_while_the_group_is_stopped(deployed: Deployment) -> None:
    deployed.produce_events(made_events(400, 100))
    deployed.drain()
    make_again(deployed)
    deployed.produce_events(one_each(deployed, 80, "of the new topic", 5))
    assert_refused(deployed, "was made again")
    found = run_inside(deployed, "check", code=1)
    assert f"the topic {deployed.topic} was made again since it was read" in " ".join(found.stdout.split())
    summary = deployed.drain("--on-lost-offsets", "earliest")
    assert summary["applied"] == 80
    assert run_inside(deployed, "check").returncode == 0
    assert {row.status for job, row in deployed.rows().items() if int(job[4:]) < 80} == {"of the new topic"}
    assert deployed.drain()["events"] == 0


def test_a_topic_made_again_while_the_group_runs_stops_it(deployed: Deployment) -> None:
    deployed.produce_events(made_events(400, 100))
    consumer = deployed.consumer()
    deployed.caught_up()
    make_again(deployed)
    assert consumer.process.wait(60) == 1
    assert "--on-lost-offsets earliest" in consumer.text()
    assert "Traceback" not in consumer.text()
    deployed.produce_events(one_each(deployed, 80, "of the new topic", 5))
    assert deployed.drain("--on-lost-offsets", "earliest")["applied"] == 80


def accepting_the_loss(deployed: Deployment) -> ConsumerProcess:
    """A consumer that runs while its topic is made again, and reads on in the new one."""
    deployed.produce_events(made_events(400, 100))
    consumer = deployed.consumer("--on-lost-offsets", "earliest", "--batch-linger-seconds", "0.2")
    deployed.caught_up()
    make_again(deployed)
    deployed.produce_events(one_each(deployed, 80, "of the new topic", 5))
    return consumer


def test_a_topic_made_again_while_the_group_runs_is_read_where_that_is_accepted(deployed: Deployment) -> None:
    consumer = accepting_the_loss(deployed)

    def all_there() -> bool:
        return sum(row.status == "of the new topic" for row in deployed.rows().values()) == 80

    until(all_there, "the new topic's events are in the table", 90, every=0.3)
    deployed.caught_up()
    assert consumer.stop() == 0


def set_by_another_tool(deployed: Deployment, offset: int) -> None:
    """Commit offsets of every partition, without metadata."""
    consumer = Consumer({"bootstrap.servers": deployed.bootstrap, "group.id": deployed.group})
    consumer.commit(
        offsets=[TopicPartition(deployed.topic, n, offset) for n in range(deployed.partitions)], asynchronous=False
    )
    consumer.close()


def test_an_accepted_loss_is_remembered_when_another_tool_sets_the_offsets_back(deployed: Deployment) -> None:
    deployed.produce_events(made_events(400, 100))
    deployed.drain()
    set_by_another_tool(deployed, 10_000)
    deployed.produce_events(one_each(deployed, 100, "after the loss", 3))
    deployed.drain("--on-lost-offsets", "earliest")
    before = deployed.rows()
    set_by_another_tool(deployed, 0)
    assert deployed.drain()["applied"] == 0
    assert deployed.rows() == before
    deployed.produce_events(one_each(deployed, 100, "final", 4))
    assert deployed.drain()["applied"] == 100
    assert {str(row.log).rpartition("/")[2] for row in deployed.rows().values()} == {"1"}


def test_after_an_accepted_loss_the_consumer_still_waits_for_the_database(deployed: Deployment) -> None:
    consumer = accepting_the_loss(deployed)
    deployed.settled()
    with locked(deployed):
        deployed.produce_events(one_each(deployed, 80, "while it was locked", 6))
        consumer.says("waiting for the database")
    deployed.produce_events(made_events(40, 10, seed=7, prefix="later"))
    deployed.settled()
    deployed.caught_up()
    assert deployed.rows().keys() >= deployed.expected().keys()
    assert {row.status for job, row in deployed.rows().items() if job in {f"job-{n}" for n in range(80)}} == {
        "while it was locked"
    }
    assert consumer.stop() == 0


def test_an_offset_beyond_the_end_stops(deployed: Deployment) -> None:
    deployed.produce_events(made_events(400, 100))
    deployed.drain()
    consumer = Consumer({"bootstrap.servers": deployed.bootstrap, "group.id": deployed.group})
    consumer.commit(offsets=[TopicPartition(deployed.topic, 1, 10_000)], asynchronous=False)
    consumer.close()
    assert_refused(deployed, "was truncated", "10000")


def test_a_new_group_starts_with_the_first_offset(deployed: Deployment) -> None:
    deployed.produce_events(made_events(400, 100))
    delete_before(deployed, 20)
    summary = deployed.drain()
    assert summary["events"] == 400 - 4 * 20
