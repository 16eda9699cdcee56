"""Clients that are made anew once a file with a property, or with a certificate, has changed.

A client of the library reads its properties and its certificates once. The old client keeps its connections; its next
log-in would fail. New certificates are tried with a client of their own first, so wrong ones end nothing that runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, Generic, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from jobstatus_schemas.certificates import CertificateFiles, Change, in_utc, trouble_with

from jobstatus_consumer.config import Settings, current_kafka
from jobstatus_consumer.errors import SettingsError
from jobstatus_consumer.kafka.client import admin_properties, describe, make
from jobstatus_consumer.kafka.error_codes import NOT_ALLOWED

logger = logging.getLogger("jobstatus.kafka")

ANSWERS_WITHIN: Final = 5.0
"""Seconds that a broker has for its answer to a client with new certificates; then it is asked again."""

T = TypeVar("T")


class Renewing(Generic[T]):
    """A client of the library that is made again once a file has changed. `make_client` reads the settings' files.

    Where none can be made, that is tried again: with certificates after they were accepted once more, with properties
    after the next change of their files.
    """

    def __init__(self, settings: Settings, make_client: Callable[[], T]) -> None:
        self._settings = settings
        self._make_client = make_client
        self._used = current_kafka(settings)
        self._certificates = NewCertificates(settings)
        self._client = make_client()
        self.renewals = 0
        """how often the client was made again"""

    @property
    def outdated(self) -> bool:
        """Whether a file with a property has changed since the client was made, or certificates are replaced."""
        return self._other_properties or self.has_new_certificates

    @property
    def has_new_certificates(self) -> bool:
        """Whether the files have other certificates than the client, which a broker has accepted. Never blocks."""
        return self._certificates.accepted

    @property
    def expires_at(self) -> float | None:
        """When the client's certificate expires, in seconds since 1970-01-01 UTC; None if there is none in PEM."""
        return self._certificates.expires_at

    @property
    def _other_properties(self) -> bool:
        return bool(self._settings.kafka_files) and current_kafka(self._settings) != self._used

    def get(self) -> T:
        """Return the client, a new one if it was outdated. The old one stays where no new one can be made."""
        if self.outdated:
            self._used = current_kafka(self._settings)
            before = self._certificates
            # before the client reads them: what changes in between is noticed later
            self._certificates = NewCertificates(self._settings)
            try:
                self._client = self._make_client()
            except SettingsError as error:
                logger.warning("%s. The old Kafka client goes on", error)
                self._certificates = before
                before.try_again()
            else:
                self.renewals += 1
                logger.info("a file of the Kafka client has changed; the client was made again%s", self._until())
        return self._client

    def _until(self) -> str:
        return "" if self.expires_at is None else f", with a certificate that expires at {in_utc(self.expires_at)}"


class NewCertificates:
    """Notices other certificates in the files of the settings, and tries them. Never blocks, but for the files."""

    def __init__(
        self,
        settings: Settings,
        *,
        files: CertificateFiles | None = None,
        make_client: Callable[[dict[str, Any]], AdminClient] = AdminClient,
    ) -> None:
        self._settings = settings
        self._files = files or CertificateFiles(settings.kafka)
        self._make_client = make_client
        self._trial: _Trial | None = None
        self._warned = ""
        self.expires_at = self._files.expires_at
        """when the certificate expires that was there at the start; None if that is not known"""

    @property
    def accepted(self) -> bool:
        """Whether the files have other certificates than at the start, and a broker has answered a client with them."""
        change = self._files.look()
        if change is Change.NEW:
            self._try()
        elif change is not None:
            self._trial = None
        return self._trial is not None and self._trial.accepted

    def try_again(self) -> None:
        """Accept no certificates before they were tried once more, at one of the next looks."""
        self._trial = None

    def _try(self) -> None:
        try:
            self._trial = self._trial or _Trial(self._settings, self._make_client)
        except SettingsError as error:
            self._warn(str(error))
            return
        if trouble := self._trial.look():
            self._warn(trouble)

    def _warn(self, why: str) -> None:
        """Say once what is wrong; what the files themselves show says more than an error of the TLS library."""
        why = trouble_with(current_kafka(self._settings)) or why
        if why != self._warned:
            self._warned = why
            logger.warning(
                "new certificates are not used: %s. The Kafka client goes on with the old ones, and tries again", why
            )


class _Trial:
    """A client with the certificates that the files have now. A broker's answer proves them, whatever it is.

    One answer does not: that their user may not describe the topic. That user's consumer would end. Other rights are
    not tried.
    """

    def __init__(self, settings: Settings, make_client: Callable[[dict[str, Any]], AdminClient]) -> None:
        self._topic = settings.topic
        # a function that does not know this object: a client in a cycle keeps its sockets and threads for a long time
        self._heard: list[str] = []
        properties = {**admin_properties(settings), "error_cb": _hearing(self._heard)}
        self._client: AdminClient | None = make(make_client, properties)
        self._answer = self._ask(self._client)

    @property
    def accepted(self) -> bool:
        """Whether a broker has answered. The client is closed then."""
        return self._client is None

    def _ask(self, client: AdminClient) -> Future[Any]:
        return client.describe_topics(TopicCollection([self._topic]), request_timeout=ANSWERS_WITHIN)[self._topic]

    def look(self) -> str:
        """See whether a broker has answered. Return why none has; empty while that is not known. Never blocks."""
        if self._client is None:
            return ""
        self._client.poll(0)  # the library reports its errors only in here
        if not self._answer.done():
            return ""
        error = self._answer.exception()
        code = error.args[0].code() if isinstance(error, KafkaException) else KafkaError._TIMED_OUT
        if code in NOT_ALLOWED:
            self._answer = self._ask(self._client)
            return f"the broker accepts them, but their user has no right DESCRIBE on the topic {self._topic}"
        # the library's own codes are negative
        if error is None or code > 0:
            self._client = None
            return ""
        self._answer = self._ask(self._client)
        return self._heard[-1] if self._heard else f"no broker answers within {ANSWERS_WITHIN:g} s"


def _hearing(heard: list[str]) -> Callable[[KafkaError], None]:
    def hear(error: KafkaError) -> None:
        # the other one says only that all brokers are down
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            heard[:] = [describe(error)]

    return hear
