"""The producer's settings: one frozen value that is read once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from jobstatus_schemas.event import check_worker_id
from jobstatus_schemas.masking import is_secret
from jobstatus_schemas.protocol import (
    ALL_ENV,
    DEFAULT_TOPIC,
    FORMATS,
    KAFKA_ENV_PREFIX,
    SUBJECT_STRATEGIES,
    check_topic,
    kafka_properties,
    unknown_settings,
)
from jobstatus_schemas.secret_files import kafka_files, missing_certificates, read_secret
from jobstatus_schemas.token_login import PROPERTY as LOGIN
from jobstatus_schemas.token_login import token_function

from jobstatus_producer.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from jobstatus_schemas.registry.settings import RegistrySettings

FIXED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "acks": ("all", "-1"),
        "request.required.acks": ("all", "-1"),
        "enable.idempotence": ("true",),
        "partitioner": ("murmur2_random",),
        "delivery.report.only.error": ("false",),
        "message.timeout.ms": ("0",),
        "delivery.timeout.ms": ("0",),
    }
)
"""Properties that the producer's promises depend on, and the only values that are allowed."""

REFUSED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "transactional.id": "the producer uses no transactions",
        "queue.buffering.max.messages": "set JOBSTATUS_MAX_PENDING_EVENTS instead",
        "queue.buffering.max.kbytes": "set JOBSTATUS_MAX_PENDING_BYTES instead",
    }
)
"""Properties that are not allowed at all, and why."""


@dataclass(frozen=True, kw_only=True)
class ProducerSettings:
    """All settings of a producer; times are in seconds. `kafka` holds librdkafka's own properties.

    `repr` leaves `kafka` out, because it may hold secrets. `kafka_files` names, by property, files with values that
    are read again for each new Kafka client. Raises `SettingsError` where a value is wrong.
    """

    kafka: Mapping[str, str] = field(default_factory=dict, repr=False)
    kafka_files: Mapping[str, str] = field(default_factory=dict)
    topic: str = DEFAULT_TOPIC
    statuses: frozenset[str] | None = None
    worker_id: str | None = None
    spool_dir: Path | None = None
    spool_max_bytes: int = 256 * 1024 * 1024
    durable: bool = False
    max_pending_events: int = 100_000
    max_pending_bytes: int = 64 * 1024 * 1024
    max_block_seconds: float | None = None
    wait_seconds: float = 30.0
    close_seconds: float = 10.0
    traceparent: str | None = None
    format: str = "single-object"
    registry: RegistrySettings | None = None
    schema_subject_strategy: str = "topic"
    schema_auto_register: bool = False

    def __post_init__(self) -> None:
        _check_kafka(self.kafka)
        try:
            check_topic(self.topic)
        except ValueError as error:
            raise SettingsError(f"JOBSTATUS_TOPIC: {error}") from None
        if self.statuses is not None and not self.statuses:
            raise SettingsError("statuses: empty; leave it out to allow every word (JOBSTATUS_STATUSES)")
        if self.durable and self.spool_dir is None:
            raise SettingsError("durable: needs a spool folder (JOBSTATUS_DURABLE needs JOBSTATUS_SPOOL_DIR)")
        if self.format == "confluent" and self.registry is None:
            raise SettingsError("JOBSTATUS_FORMAT=confluent needs JOBSTATUS_SCHEMA_REGISTRY_URL")
        for name, allowed in (("format", FORMATS), ("schema_subject_strategy", SUBJECT_STRATEGIES)):
            if getattr(self, name) not in allowed:
                raise SettingsError(f"JOBSTATUS_{name.upper()}: wanted {' or '.join(allowed)}")
        if self.spool_dir is not None:
            object.__setattr__(self, "spool_dir", _absolute(self.spool_dir))
        try:
            check_worker_id(self.worker_id)
        except (TypeError, ValueError) as error:
            raise SettingsError(f"JOBSTATUS_WORKER_ID: {error}") from None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> ProducerSettings:
        """The settings in `environ`, by default the process's environment. Raises `SettingsError`."""
        environ = os.environ if environ is None else environ
        unknown = unknown_settings(environ)
        if unknown:
            raise SettingsError(_unknown_text(unknown[0]))
        given = {
            name: _read(variable, environ[variable], parse)
            for variable, (name, parse) in _VARIABLES.items()
            if environ.get(variable)
        }
        try:
            files = kafka_files(environ)
            kafka = {**kafka_properties(environ), **{name: read_secret(path) for name, path in files.items()}}
        except ValueError as error:
            raise SettingsError(str(error)) from None
        traceparent = environ.get("TRACEPARENT")
        return cls(kafka=kafka, kafka_files=files, registry=_registry(environ), traceparent=traceparent, **given)

    def current_kafka(self) -> dict[str, str]:
        """librdkafka's properties with what their files have now; a file that is unreadable keeps its old value."""
        found = dict(self.kafka)
        for name, path in self.kafka_files.items():
            with suppress(ValueError):
                found[name] = read_secret(path)
        return found

    def shown(self) -> dict[str, str]:
        """librdkafka's properties for a person to read: secrets are masked."""
        return {name: "***" if is_secret(name) else value for name, value in self.kafka.items()}


def _registry(environ: Mapping[str, str]) -> RegistrySettings | None:
    """The registry, which only Confluent's framing needs. Raises `SettingsError`."""
    if environ.get("JOBSTATUS_FORMAT") != "confluent":
        return None
    from jobstatus_schemas.registry.settings import RegistrySettings

    try:
        return RegistrySettings.from_env(environ)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _absolute(folder: Path) -> Path:
    """An absolute path stays the same folder when the process, or a child of it, changes its directory."""
    try:
        return folder.absolute()
    except OSError as error:
        raise SettingsError(f"JOBSTATUS_SPOOL_DIR: {folder} is relative to a folder that is gone: {error}") from None


def _check_kafka(kafka: Mapping[str, str]) -> None:
    if not kafka.get("bootstrap.servers"):
        raise SettingsError("JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS is not set; wanted host:port[,host:port]")
    for name, path in missing_certificates(kafka):
        raise SettingsError(f"{variable_of(name)}: there is no file {path}")
    if LOGIN in kafka:
        try:
            token_function(kafka[LOGIN])
        except ValueError as error:
            raise SettingsError(f"{variable_of(LOGIN)}: {error}") from None
    for name, value in kafka.items():
        if name in REFUSED:
            raise SettingsError(f"{variable_of(name)}: not allowed here: {REFUSED[name]}")
        allowed = FIXED.get(name)
        if allowed and str(value).lower() not in allowed:
            raise SettingsError(f"{variable_of(name)}: {value!r} contradicts the producer; allowed: {allowed[0]}")


def variable_of(name: str) -> str:
    """The environment variable of librdkafka's property `name`."""
    return KAFKA_ENV_PREFIX + name.upper().replace(".", "_")


def _unknown_text(name: str) -> str:
    from difflib import get_close_matches  # loaded only for a failing start

    known = sorted(ALL_ENV)
    close = get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{name}: no such setting{hint} (known: {', '.join(known)}, JOBSTATUS_KAFKA_<NAME>)"


def _read(variable: str, text: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise SettingsError(f"{variable}: {error}") from None


def _folder(text: str) -> Path:
    from pathlib import Path  # slow to load, and needed only with a spool

    return Path(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86_400:
        raise ValueError(f"wanted seconds from 0 to 86400, got {text!r}")
    return value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise ValueError(f"wanted a whole number from 1 up, got {text!r}")
    return int(text)


def _yes_no(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in words:
        raise ValueError(f"wanted true or false, got {text!r}")
    return words[text.lower()]


def _words(text: str) -> frozenset[str]:
    return frozenset(word.strip() for word in text.split(",") if word.strip())


_VARIABLES: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = MappingProxyType(
    {
        "JOBSTATUS_TOPIC": ("topic", str),
        "JOBSTATUS_STATUSES": ("statuses", _words),
        "JOBSTATUS_WORKER_ID": ("worker_id", str),
        "JOBSTATUS_SPOOL_DIR": ("spool_dir", _folder),
        "JOBSTATUS_SPOOL_MAX_BYTES": ("spool_max_bytes", _count),
        "JOBSTATUS_DURABLE": ("durable", _yes_no),
        "JOBSTATUS_MAX_PENDING_EVENTS": ("max_pending_events", _count),
        "JOBSTATUS_MAX_PENDING_BYTES": ("max_pending_bytes", _count),
        "JOBSTATUS_MAX_BLOCK_SECONDS": ("max_block_seconds", _seconds),
        "JOBSTATUS_WAIT_SECONDS": ("wait_seconds", _seconds),
        "JOBSTATUS_CLOSE_SECONDS": ("close_seconds", _seconds),
        "JOBSTATUS_FORMAT": ("format", str),
        "JOBSTATUS_SCHEMA_SUBJECT_STRATEGY": ("schema_subject_strategy", str),
        "JOBSTATUS_SCHEMA_AUTO_REGISTER": ("schema_auto_register", _yes_no),
    }
)
