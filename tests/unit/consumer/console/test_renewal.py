"""When the console makes its Kafka clients anew."""

from __future__ import annotations

from typing import Any

import pytest
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.console import live
from jobstatus_consumer.console.live import Live
from jobstatus_consumer.errors import BrokerAwayError, CoordinatorAwayError


class Topics:
    """Its client is never made anew for new certificates."""

    renewals = 0


class Sources:
    """Counts how often the clients were made anew."""

    renewed = 0

    def new_topics(self) -> Topics:
        return Topics()

    def renew(self) -> None:
        self.renewed += 1


class Renewed(Sources):
    """Its client is made anew in the question, which fails all the same."""

    def __init__(self) -> None:
        self.topics = Topics()

    def new_topics(self) -> Topics:
        return self.topics


@pytest.mark.parametrize(
    ("error", "renewed"), [(BrokerAwayError("no broker"), 1), (CoordinatorAwayError("no child"), 0)]
)
def test_clients_are_made_anew_where_no_broker_answers_and_not_where_the_child_process_has_ended(
    error: Exception, renewed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(live, "ask_broker", refuse)
    monkeypatch.setattr(live, "RENEW_AFTER", -1.0)
    sources: Any = Sources()
    watched = Live(load_settings({"JOBSTATUS_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}), sources)
    with pytest.raises(type(error)):
        watched._ask_broker()
    assert sources.renewed == renewed


def test_readers_of_the_log_are_made_anew_with_the_client_although_its_question_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sources: Any = Renewed()

    def renew_and_refuse(*_: object) -> None:
        sources.topics.renewals += 1
        raise BrokerAwayError("no broker")

    monkeypatch.setattr(live, "ask_broker", renew_and_refuse)
    watched = Live(load_settings({"JOBSTATUS_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}), sources)
    with pytest.raises(BrokerAwayError):
        watched._ask_broker()
    assert sources.renewed == 1
