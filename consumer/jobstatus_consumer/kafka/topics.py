"""The owner of the admin client: what the topics are, whether events may be read from them, and changing them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AclOperation,
    AdminClient,
    ConfigResource,
    ListOffsetsResultInfo,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
    TopicDescription,
)

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core import Watermarks
from jobstatus_consumer.errors import BrokerAwayError, BrokerError, StartError
from jobstatus_consumer.kafka.client import (
    ANSWER_SECONDS,
    ASK_FOR_SECONDS,
    QuietErrors,
    admin_properties,
    ask,
    describe,
    error_of,
    make,
)
from jobstatus_consumer.kafka.coordinator import AskedHere, Coordinator, GroupFacts
from jobstatus_consumer.kafka.ends import GIVE_UP_AFTER, EndOffsets
from jobstatus_consumer.kafka.error_codes import NOT_ALLOWED
from jobstatus_consumer.kafka.renewing import Renewing
from jobstatus_consumer.kafka.rights import Right, needing, refusal
from jobstatus_consumer.kafka.topic_plans import TopicPlan
from jobstatus_consumer.records import NO_EPOCH

logger = logging.getLogger("jobstatus.kafka")

T = TypeVar("T")

NO_TOPIC_ID: Final = ("None", "AAAAAAAAAAAAAAAAAAAAAA")
"""What a cluster without topic ids answers: nothing, or 16 zero bytes in base64."""
UNTYPED_SPEC: Final[Any] = OffsetSpec
"""The library's class, whose methods have no types."""
WATCH_EVERY: Final = 5.0
"""Seconds between two questions of `watch`."""
CONTROLLER_SECONDS: Final = 3.0
"""How long one question to the controller may take: librdkafka may be waiting for one that is dead."""
LOOKS: Final = 3
SHOWN: Final = ("cleanup.policy", "retention.ms", "message.timestamp.type", "max.message.bytes", "min.insync.replicas")


class TopicFacts(NamedTuple):
    """A topic as the broker describes it; `config` has the few properties that matter here."""

    name: str
    topic_id: str
    partitions: int
    replication: int
    config: Mapping[str, str]


class Topics:
    """Questions and orders to the cluster. Each blocks unless it says otherwise, and raises `BrokerError`.

    A question is asked again for `patience` seconds. `make_client` makes the library's client of its properties, and
    `coordinator` asks about groups: without it, this client does.
    `answered_at` is when a broker last answered `watch` (as `time.monotonic`), and `watched_partitions` how many
    partitions the topic had then; `ends` is for the topic of the events.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        patience: float = ASK_FOR_SECONDS,
        make_client: Callable[[dict[str, Any]], AdminClient] = AdminClient,
        coordinator: Coordinator | None = None,
    ) -> None:
        self._settings = settings
        self._patience = patience
        self._errors = QuietErrors()
        self._watch: Future[TopicDescription] | None = None
        self._watched_at = self.answered_at = time.monotonic()
        self.watched_partitions: int | None = None
        uncommitted = settings.kafka.get("isolation.level", "read_committed") == "read_uncommitted"
        self._isolation = IsolationLevel.READ_UNCOMMITTED if uncommitted else IsolationLevel.READ_COMMITTED
        # functions that do not know this object: a client in a cycle keeps its sockets and threads for a long time
        self._clients = Renewing(settings, partial(_new_client, settings, self._errors, make_client))
        self.ends = EndOffsets(partial(_ask_ends, self._clients, settings.topic, self._isolation))
        self._coordinator = coordinator or AskedHere(self._clients.get)

    @property
    def renewals(self) -> int:
        """How often the client was made again, because a file with a property or a certificate has changed."""
        return self._clients.renewals

    @property
    def _admin(self) -> AdminClient:
        return self._clients.get()

    def topic_id(self, name: str) -> str:
        """Return the topic's id, which changes when the topic is made again; `-` if the broker has no topic ids."""
        return self._ask_controller(f"describing {name}", lambda: self._topic_id(name))

    def _ask_controller(self, doing: str, question: Callable[[], T]) -> T:
        """As `ask`, and after an error librdkafka looks for the controller again: it would wait for a dead one."""

        def asked() -> T:
            try:
                return question()
            except (KafkaException, TimeoutError):
                self._look_again()
                raise

        return self._ask(doing, asked)

    def _look_again(self) -> None:
        # in short steps: Python handles no signal while the library waits
        for _ in range(LOOKS):
            try:
                self._admin.list_topics(timeout=CONTROLLER_SECONDS / LOOKS)
                return
            except KafkaException as error:
                logger.debug("no broker answers: %s", describe(error))

    def _topic_id(self, name: str) -> str:
        described = self._admin.describe_topics(TopicCollection([name]), request_timeout=CONTROLLER_SECONDS)
        with _describing(name):
            return _topic_id_text(described[name].result(ANSWER_SECONDS + 1).topic_id)

    def watch(self, name: str) -> str | None:
        """Return the topic's id a few seconds ago: "" if the topic is gone, None if there is no new answer.

        Never blocks, and raises nothing: each call collects the answer to an earlier question, and asks every 5 s.
        """
        # calls `error_cb` now, and not only when the next question is asked
        self._admin.poll(0)
        answer: str | None = None
        if self._watch is not None and self._watch.done():
            answer, self.watched_partitions = _watched(self._watch) or (None, self.watched_partitions)
            self._watch = None
            if answer is not None:
                self.answered_at = time.monotonic()
        since = time.monotonic() - self._watched_at
        # a client that was replaced meanwhile may never answer
        if (self._watch is None and since >= WATCH_EVERY) or since >= GIVE_UP_AFTER:
            self._watched_at = time.monotonic()
            asked = self._admin.describe_topics(TopicCollection([name]), request_timeout=CONTROLLER_SECONDS)
            self._watch = asked[name]
        return answer

    def describe(self, name: str) -> TopicFacts | None:
        """Return the topic's facts; None if there is no such topic."""
        return self._ask_controller(f"describing {name}", lambda: self._describe(name))

    def _describe(self, name: str) -> TopicFacts | None:
        described = self._admin.describe_topics(TopicCollection([name]), request_timeout=CONTROLLER_SECONDS)
        try:
            with _describing(name):
                found = described[name].result(ANSWER_SECONDS + 1)
        except KafkaException as error:
            inner = error_of(error)
            if inner is not None and inner.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return None
            raise
        replication = min((len(partition.replicas) for partition in found.partitions), default=0)
        return TopicFacts(name, _topic_id_text(found.topic_id), len(found.partitions), replication, self._config(name))

    def _config(self, name: str) -> dict[str, str]:
        with needing(Right.on_topic(name, "DESCRIBE_CONFIGS"), f"reading the properties of {name}"):
            return self._properties(ResourceType.TOPIC, name, SHOWN)

    def _properties(self, kind: ResourceType, name: str, wanted: Sequence[str]) -> dict[str, str]:
        resource = ConfigResource(kind, name)
        entries = self._admin.describe_configs([resource], request_timeout=ANSWER_SECONDS)[resource]
        found = entries.result(ANSWER_SECONDS + 1)
        return {key: str(found[key].value) for key in wanted if key in found}

    def broker_properties(self, *wanted: str) -> dict[str, str]:
        """Return these properties of one broker, as far as it knows them. Needs the right to ask the cluster."""

        def question() -> dict[str, str]:
            brokers = self._admin.list_topics(timeout=ANSWER_SECONDS).brokers
            if not brokers:  # as a broker answers that has just started
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no broker is known yet"))
            return self._properties(ResourceType.BROKER, str(min(brokers)), wanted)

        return self._ask("asking for a broker's properties", question)

    def create(self, plan: TopicPlan) -> bool:
        """Create the topic; return False if it exists, and leave it as it is then. Raises `StartError`."""
        new = NewTopic(
            plan.name,
            num_partitions=plan.partitions,
            replication_factor=plan.replication,
            config=dict(plan.config),
        )
        made = self._admin.create_topics([new], request_timeout=ANSWER_SECONDS)[plan.name]
        try:
            with needing(Right.on_topic(plan.name, "CREATE"), f"the topic {plan.name} could not be made"):
                made.result(ANSWER_SECONDS + 1)
        except KafkaException as error:
            inner = error_of(error)
            if inner is not None and inner.code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return False
            raise StartError(f"the topic {plan.name} could not be made: {describe(error)}") from None
        self._wait_until_known(plan.name, plan.partitions)
        return True

    def _wait_until_known(self, name: str, partitions: int) -> None:
        """Wait until the brokers know so many partitions of a topic, so that the next command finds them.

        The controller answers when they are made, and the brokers learn of it a moment later. Waits for
        `CONTROLLER_SECONDS` at most.
        """
        deadline = time.monotonic() + CONTROLLER_SECONDS
        while len(self.partitions(name)) < partitions and time.monotonic() < deadline:
            time.sleep(0.05)

    def add_partitions(self, name: str, total: int) -> None:
        """Give the topic `total` partitions, which must be more than it has. Raises `StartError`."""
        asked = self._admin.create_partitions([NewPartitions(name, total)], request_timeout=ANSWER_SECONDS)
        try:
            with needing(Right.on_topic(name, "ALTER"), f"the topic {name} could not get {total} partitions"):
                asked[name].result(ANSWER_SECONDS + 1)
        except KafkaException as error:
            raise StartError(
                f"the topic {name} could not get {total} partitions: {describe(error)}. Nothing was changed"
            ) from None
        self._wait_until_known(name, total)

    def brokers(self) -> int:
        """Return how many brokers the cluster has."""

        def count() -> int:
            return len(self._admin.list_topics(timeout=ANSWER_SECONDS).brokers)

        return self._ask("asking for the brokers", count)

    def partitions(self, name: str) -> list[int]:
        """Return the partition numbers of a topic; none if there is no topic of that name."""

        def numbers() -> list[int]:
            found = self._admin.list_topics(name, timeout=ANSWER_SECONDS).topics.get(name)
            if found is not None and found.error is not None and found.error.code() in NOT_ALLOWED:
                raise refusal(f"asking for the partitions of {name}", found.error, Right.on_topic(name, "DESCRIBE"))
            return [] if found is None or found.error is not None else sorted(found.partitions)

        return self._ask(f"asking for the partitions of {name}", numbers)

    def watermarks(self, name: str, numbers: Sequence[int]) -> dict[int, Watermarks]:
        """Return the watermarks of these partitions, as their leaders have them now.

        The admin client asks: a consumer uses what it already knows of the topic, and must not ask for more while
        one of its callbacks runs.
        """

        def question() -> dict[int, Watermarks]:
            first, last = (self._edge(name, numbers, spec) for spec in (UNTYPED_SPEC.earliest(), UNTYPED_SPEC.latest()))
            return {number: Watermarks(first[number], last[number]) for number in numbers}

        return self._ask_controller(f"asking for the watermarks of {name}", question) if numbers else {}

    def leader_epochs(self, name: str, numbers: Sequence[int]) -> dict[int, int]:
        """Return the leader epoch of each of these partitions now."""
        doing = f"asking for the leader epochs of {name}"
        latest = UNTYPED_SPEC.latest()
        found = self._ask_controller(doing, lambda: self._edges(name, numbers, latest)) if numbers else {}
        return {number: NO_EPOCH if item.leader_epoch is None else item.leader_epoch for number, item in found.items()}

    def _edge(self, name: str, numbers: Sequence[int], spec: OffsetSpec) -> dict[int, int]:
        return {number: item.offset for number, item in self._edges(name, numbers, spec).items()}

    def _edges(self, name: str, numbers: Sequence[int], spec: OffsetSpec) -> dict[int, ListOffsetsResultInfo]:
        wanted = {TopicPartition(name, number): spec for number in numbers}
        found = self._admin.list_offsets(wanted, isolation_level=self._isolation, request_timeout=ANSWER_SECONDS)
        try:
            # twice the time: librdkafka first asks who the leaders are
            with _describing(name):
                edges = {item.partition: answer.result(2 * ANSWER_SECONDS + 1) for item, answer in found.items()}
        except KafkaException as error:
            inner = error_of(error)
            if inner is not None and inner.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                # the caller has just seen the topic, so this broker has not heard of it yet; a code that passes
                raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION, inner.str())) from None
            raise
        if any(edge.offset < 0 for edge in edges.values()):
            # how the library reports a leader that did not answer: without an error, with a negative offset
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"a leader of {name} gave no answer"))
        return edges

    def _ask(self, doing: str, question: Callable[[], T], *, patience: float | None = None) -> T:
        def heard() -> T:
            try:
                return question()
            finally:
                self._admin.poll(0)  # the library calls `error_cb` only in here, such as for a wrong password

        limit = self._patience if patience is None else patience
        return ask(doing, heard, self._errors, self._settings.bootstrap_servers, patience=limit)

    def reach(self, seconds: float) -> None:
        """Return once a broker has answered; raises `BrokerError` after `seconds` without an answer."""
        doing = "asking for the brokers"
        self._ask(doing, lambda: self._admin.list_topics(timeout=min(1.0, seconds)), patience=seconds - 1.0)

    def group_facts(self, group: str) -> GroupFacts:
        """Return the group's state, and its members, each with its partitions of the topic of the events."""
        return self._described(f"describing the group {group}", group, rights=False)

    def _described(self, doing: str, group: str, *, rights: bool) -> GroupFacts:
        def question() -> GroupFacts:
            with _describing_group(group):
                return self._coordinator.describe(group, self._settings.topic, rights=rights, heard=self._errors)

        return self._ask(doing, question)

    def operations_on_topic(self, name: str) -> set[str] | None:
        """Return what this client may do with the topic, such as `WRITE`; None if the broker does not say."""

        def question() -> set[str] | None:
            wanted = TopicCollection([name])
            asked = self._admin.describe_topics(
                wanted, include_authorized_operations=True, request_timeout=CONTROLLER_SECONDS
            )
            return _names_of(asked[name].result(ANSWER_SECONDS + 1).authorized_operations)

        return self._ask_controller(f"asking for the rights on {name}", question)

    def operations_on_group(self, group: str) -> set[str] | None:
        """Return what this client may do with the group, such as `READ`; None if the broker does not say."""
        return self._described(f"asking for the rights on the group {group}", group, rights=True).operations

    def delete_records(self, name: str, before: Mapping[int, int]) -> None:
        """Have the broker remove every record before these offsets of a topic. Blocks; raises `BrokerError`."""
        wanted = [TopicPartition(name, number, offset) for number, offset in before.items()]

        def order() -> None:
            with needing(Right.on_topic(name, "DELETE"), f"removing records of {name}"):
                for done in self._admin.delete_records(wanted, request_timeout=ANSWER_SECONDS).values():
                    done.result(ANSWER_SECONDS + 1)

        if wanted:
            self._ask(f"removing records of {name}", order)


def _describing(name: str) -> AbstractContextManager[None]:
    return needing(Right.on_topic(name, "DESCRIBE"), f"describing {name}")


def _describing_group(group: str) -> AbstractContextManager[None]:
    return needing(Right.on_group(group, "DESCRIBE"), f"describing the group {group}")


def _new_client(
    settings: Settings, errors: QuietErrors, make_client: Callable[[dict[str, Any]], AdminClient]
) -> AdminClient:
    errors.forget()
    return make(make_client, {**admin_properties(settings), "error_cb": errors})


def _ask_ends(
    clients: Renewing[AdminClient], name: str, isolation: IsolationLevel, numbers: Sequence[int]
) -> dict[int, Future[Any]]:
    wanted = {TopicPartition(name, number): UNTYPED_SPEC.latest() for number in numbers}
    asked = clients.get().list_offsets(wanted, isolation_level=isolation, request_timeout=ANSWER_SECONDS)
    return {item.partition: answer for item, answer in asked.items()}


def denied(ask_what_is_allowed: Callable[[], set[str] | None], needed: Iterable[str]) -> tuple[list[str], str]:
    """Return which of these operations the broker does not allow, and its refusal if not even the question is allowed.

    Blocks as the question does; raises `BrokerAwayError`.
    """
    try:
        allowed = ask_what_is_allowed()
    except BrokerAwayError:
        raise
    except BrokerError as error:
        return list(needed), str(error)
    return [name for name in needed if allowed is not None and name not in allowed], ""


def _names_of(operations: Sequence[AclOperation] | None) -> set[str] | None:
    return None if operations is None else {item.name for item in operations}


def _topic_id_text(topic_id: object) -> str:
    """Return the id as Kafka's own tools write it, in URL-safe base64; the library writes `+` and `/`."""
    text = str(topic_id)
    return "-" if text in NO_TOPIC_ID else text.replace("+", "-").replace("/", "_")


def _watched(answer: Future[TopicDescription]) -> tuple[str, int] | None:
    """The topic's id ("" if it is gone) and the number of its partitions; None if the question has no answer."""
    try:
        found = answer.result(0)
        return _topic_id_text(found.topic_id), len(found.partitions)
    except KafkaException as error:
        inner = error_of(error)
        return ("", 0) if inner is not None and inner.code() == KafkaError.UNKNOWN_TOPIC_OR_PART else None


def unfit(facts: TopicFacts | None, name: str) -> str | None:
    """Return why events must not be read from this topic, and the remedy; None if they may be read."""
    if facts is None:
        return f"the topic {name} is not there; make it: jobstatus topics create"
    if "compact" in facts.config.get("cleanup.policy", ""):
        return (
            f"the topic {name} is compacted (cleanup.policy={facts.config['cleanup.policy']}): compaction keeps the "
            "last event of a job, which need not be the one that counts; set cleanup.policy=delete"
        )
    return None
