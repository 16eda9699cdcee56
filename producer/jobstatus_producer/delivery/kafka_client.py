"""The Kafka client of a producer, which is made anew when it is dead or silent, and with new certificates."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from jobstatus_schemas.certificates import in_utc

from jobstatus_producer.delivery.acks import Acks
from jobstatus_producer.delivery.new_certificates import NewCertificates
from jobstatus_producer.delivery.transport import Failure, FailureKind, OpenTransport, Transport
from jobstatus_producer.errors import SettingsError
from jobstatus_producer.log import logger
from jobstatus_producer.settings import ProducerSettings

SILENT_SECONDS: Final = 30.0
"""How long attempts may stay without any answer before a new client makes them.

Mostly no broker can be reached, and a new client does no better. But an idempotent librdkafka whose records were called
back while their partitions had no leader was seen to send nothing any more, though the brokers were there again.
"""
READY_SECONDS: Final = 0.25
"""How long an attempt waits for a schema registry that has not answered yet."""


class KafkaClient:
    """Owns the transport. `transport` is replaced by `renew` and `renew_if_dead`, so it is asked for at each use."""

    def __init__(
        self,
        settings: ProducerSettings,
        acks: Acks,
        open_transport: OpenTransport,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self._settings = settings
        self._acks = acks
        self._open_transport = open_transport
        self._silent_seconds = silent_seconds
        self._dead = False
        self._silent_since: float | None = None
        self._closed = False
        self._used, self._certificates = self._files_now()
        self.transport = self._open()

    @property
    def is_dead(self) -> bool:
        """Whether librdkafka is in a fatal state, which it never leaves, or gives no answer for too long."""
        return self._dead

    def note(self, failure: Failure) -> None:
        """Learn from the `failure` of a record whether the client is dead."""
        if failure.kind is FailureKind.CLIENT_DEAD:
            self._dead = True

    def note_attempt(self, *, answered: bool) -> None:
        """Learn from an attempt whether the broker `answered` for any of its records."""
        if answered:
            self._silent_since = None
            return
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        if now - self._silent_since >= self._silent_seconds:
            self._dead = True

    def not_ready(self, seconds: float = READY_SECONDS) -> Failure | None:
        """Why nothing may be handed over yet; None if something may. May block for `seconds`."""
        return self.transport.not_ready(seconds)

    def renew_if_dead(self) -> None:
        """Go on with a new client if this one is dead. Blocks for 1.5 s at most, and 10 s more if no token is there.

        Without a token for its login there is no new client, and the old one stays.
        """
        if self._dead:
            self._renew()

    def has_new_certificates(self) -> bool:
        """Whether the files have other certificates, which a broker has accepted. May block for 1.6 s."""
        return self._certificates.accepted()

    def renew(self) -> None:
        """Go on with a new client and what the files have now. Blocks as `renew_if_dead`."""
        if self._renew():
            expires_at = self._certificates.expires_at
            until = "" if expires_at is None else f", one that expires at {in_utc(expires_at)}"
            logger.info("the certificates have changed; a new Kafka client uses the new ones%s", until)

    def close(self) -> None:
        """Let go of the client. Blocks for 3 s at most."""
        # before the transport is looked up: the sender's thread may be replacing it
        self._closed = True
        self._certificates.close()
        self.transport.close()

    def _renew(self) -> bool:
        before = self._used, self._certificates
        self._used, self._certificates = self._files_now()
        try:
            opened = self._open()
        except SettingsError as error:
            # the properties were accepted before, so it is what a function or a file gives now; it is tried again
            self._used, self._certificates = before
            self._acks.trouble(str(error))
            return False
        finally:
            before[1].close()
        old, self.transport = self.transport, opened
        self._dead = False
        self._silent_since = None
        old.close()
        if self._closed:
            opened.close()
        return not self._closed

    def _files_now(self) -> tuple[Mapping[str, str], NewCertificates]:
        """What is in the files before a client reads them: a change that comes in between is noticed later."""
        return self._settings.current_kafka(), NewCertificates(self._settings, self._open_transport)

    def _open(self) -> Transport:
        settings = self._settings
        # librdkafka also counts records that wait for their callbacks; the outbox keeps the bound on events
        max_records = min(10_000_000, 2 * settings.max_pending_events + 10_000)
        transport = self._open_transport(settings.topic, self._used, max_records, self._failed)
        return transport if settings.format == "single-object" else _in_confluents_framing(transport, settings)

    def _failed(self, failure: Failure) -> None:
        """An error of the client as a whole. Called by whichever thread polls."""
        self.note(failure)
        if self._settings.kafka_files and self._settings.current_kafka() != self._used:
            # such as a password that was replaced: only a new client logs in with it
            self._dead = True
        self._acks.trouble(failure.text)


def _in_confluents_framing(transport: Transport, settings: ProducerSettings) -> Transport:
    """Raises `SettingsError` where the registry's libraries or its certificates are missing."""
    from jobstatus_producer.delivery.confluent import ConfluentTransport
    from jobstatus_producer.delivery.schema_ids import SchemaIds

    try:
        return ConfluentTransport(transport, SchemaIds(settings))
    except BaseException:
        transport.close()
        raise
