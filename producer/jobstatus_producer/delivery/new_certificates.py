"""Other certificates in the files of a Kafka client: noticed, and tried with a client of their own before their use."""

from __future__ import annotations

import time
from collections import deque
from itertools import cycle
from typing import Final

from jobstatus_schemas.certificates import CertificateFiles, Change, trouble_with

from jobstatus_producer.delivery.transport import Failure, OpenTransport, Transport
from jobstatus_producer.errors import SettingsError
from jobstatus_producer.log import logger
from jobstatus_producer.settings import ProducerSettings

REACH_SECONDS: Final = (0.1, 0.2, 0.4, 0.8, 1.6)
"""How long the looks wait for a broker's answer, in turn.

The library drops an answer that comes later, so a broker that is far or busy is found only by a longer wait. The short
ones come again after it: with certificates that are refused for days the sender's thread mostly does other things.
"""
ANSWERS_WITHIN: Final = 5.0
"""Seconds that a broker has for its answer before the log says that none accepts the new certificates."""


class NewCertificates:
    """Compares the files with what they had when this was made. Used by the sender's thread alone."""

    def __init__(
        self, settings: ProducerSettings, open_transport: OpenTransport, files: CertificateFiles | None = None
    ) -> None:
        self._settings = settings
        self._open_transport = open_transport
        self._files = files or CertificateFiles(settings.kafka)
        self._trial: Transport | None = None
        self._tried_since = 0.0
        self._waits = cycle(REACH_SECONDS)
        # the last error of the trial, which has one each second for as long as it is refused
        self._heard: deque[Failure] = deque(maxlen=1)
        self._warned = ""
        self.expires_at = self._files.expires_at
        """when the certificate expires, in seconds since 1970-01-01 UTC; None if that is not known"""

    def accepted(self) -> bool:
        """Whether there are other certificates, and a broker has answered a client with them. May block for 1.6 s."""
        change = self._files.look()
        if change is Change.NEW:
            return self._try()
        if change is not None:
            self.close()
        return False

    def close(self) -> None:
        """Try nothing more. Blocks for 1.5 s at most."""
        trial, self._trial = self._trial, None
        if trial is not None:
            trial.close()

    def _try(self) -> bool:
        try:
            # a transport that holds no record is false
            trial = self._trial = self._opened() if self._trial is None else self._trial
        except SettingsError as error:
            self._warn(str(error))
            return False
        failure = trial.reach(next(self._waits))
        trial.poll(0)  # the client reports its errors only in here
        if failure is not None and time.monotonic() - self._tried_since > ANSWERS_WITHIN:
            self._warn((self._heard or [failure])[-1].text)
        return failure is None

    def _opened(self) -> Transport:
        self._tried_since = time.monotonic()
        self._waits = cycle(REACH_SECONDS)
        self._heard.clear()
        settings = self._settings
        # it sends nothing, so it needs no room
        return self._open_transport(settings.topic, settings.current_kafka(), 1, self._heard.append)

    def _warn(self, why: str) -> None:
        """Log once what is wrong; what the files themselves show says more than an error of the TLS library."""
        why = trouble_with(self._settings.current_kafka()) or why
        if why != self._warned:
            self._warned = why
            text = "new certificates are not used: %s. The old Kafka client goes on, and they are tried again"
            logger.warning(text, why)
