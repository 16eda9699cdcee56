"""What `check` makes of a broker's properties; `make matrix` has the real brokers of every version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.errors import BrokerAwayError, BrokerError
from jobstatus_consumer.kafka import Topics
from jobstatus_consumer.stream.checks import CLASSIC, PROTOCOLS, unknown_protocol


class Asked:
    """Stands for a broker that has these properties, or refuses the question."""

    def __init__(self, answer: Mapping[str, str] | BrokerError) -> None:
        self._answer = answer

    def broker_properties(self, *wanted: str) -> dict[str, str]:
        if isinstance(self._answer, BrokerError):
            raise self._answer
        return {name: self._answer[name] for name in wanted if name in self._answer}


def found(answer: Mapping[str, str] | BrokerError, protocol: str | None = "consumer") -> list[str]:
    environ = {} if protocol is None else {"JOBSTATUS_KAFKA_GROUP_PROTOCOL": protocol}
    broker: Any = Asked(answer)
    return [item.what for item in unknown_protocol(load_settings(environ), cast("Topics", broker))]


LACKING = ["the brokers do not offer group.protocol=consumer (KIP-848), which Kafka 4.0 and newer have"]


@pytest.mark.parametrize(
    "broker",
    [{CLASSIC: "0"}, {CLASSIC: "0", PROTOCOLS: "classic"}],
    ids=["3.6 does not know the property", "3.7 to 3.9 have it off"],
)
def test_a_broker_without_the_protocol_is_named(broker: Mapping[str, str]) -> None:
    assert found(broker) == LACKING
    assert found(broker, "classic") == found(broker, None) == []


@pytest.mark.parametrize(
    "broker",
    [{CLASSIC: "0", PROTOCOLS: "classic,consumer,streams"}, {}, BrokerError("not allowed")],
    ids=["4.3", "a service that shows nothing", "no right to ask"],
)
def test_a_broker_that_has_it_or_does_not_say_is_no_problem(broker: Mapping[str, str] | BrokerError) -> None:
    assert found(broker) == []


def test_a_broker_that_does_not_answer_is_said_as_ever() -> None:
    with pytest.raises(BrokerAwayError):
        found(BrokerAwayError("no broker answers"))
