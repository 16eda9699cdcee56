"""The one importer of confluent-kafka's registry client: five questions, each of them asked once.

Measured with confluent-kafka 2.16: its import takes 0.35 to 0.8 s and 409 modules, so it is imported only if a
registry is configured. Without a time-out it waits without a limit, and each try has three more behind it after pauses
of up to 20 s. So both are set here, and the caller decides when to ask again. The client passes on any error that an
answer leads to. So errors are classified here, by their class, the HTTP status and the registry's own code.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from json import JSONDecodeError
from typing import Any, Final, NamedTuple, TypeVar

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from jobstatus_schemas.masking import masked
from jobstatus_schemas.protocol import FILE_SUFFIX
from jobstatus_schemas.registry.errors import (
    ForbiddenError,
    LoginRefusedError,
    NotFoundError,
    RefusedError,
    RegistryError,
    UnavailableError,
)
from jobstatus_schemas.registry.settings import RegistrySettings, variable

ANSWER_SECONDS: Final = 5.0
_NOT_FOUND_CODES: Final = (40401, 40402, 40403)
"""A subject, a version, a schema. Any other answer of status 404 is not a registry's."""
_REFUSED: Final = (409, 422)
_LOGIN: Final = (401, 403)

T = TypeVar("T")


class Registered(NamedTuple):
    """A schema as the registry has it."""

    id: int
    text: str
    kind: str
    version: int | None = None


class RegistryClient:
    """Asks the registry. Each method blocks for one answer, and for some seconds at most if there is none.

    Each raises `UnavailableError`, `NotFoundError` or `RefusedError`. Threads may share it, and so may forked children.
    """

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._client: tuple[int, SchemaRegistryClient] | None = None

    def connect(self) -> None:
        """Make the client, and open no connection yet. Raises `UnavailableError` for a certificate that is no use."""
        self._ask(lambda _client: None)

    def schema(self, schema_id: int) -> Registered:
        """The schema of an id."""
        found = self._ask(lambda client: client.get_schema(schema_id))
        return _registered(schema_id, found, self._settings.name)

    def lookup(self, subject: str, text: str) -> Registered:
        """The schema `text` as it is registered under `subject`."""
        found = self._ask(lambda client: client.lookup_schema(subject, _avro(text)))
        return _registered(found.schema_id, found.schema, self._settings.name, found.version)

    def latest(self, subject: str) -> Registered:
        """The newest version of `subject`."""
        found = self._ask(lambda client: client.get_latest_version(subject))
        return _registered(found.schema_id, found.schema, self._settings.name, found.version)

    def register(self, subject: str, text: str) -> int:
        """Register the schema `text` under `subject`, and return its id. Registering it again changes nothing."""
        return int(self._ask(lambda client: client.register_schema(subject, _avro(text))))

    def is_compatible(self, subject: str, text: str) -> bool:
        """Whether the registry's rule for `subject` allows `text` as its next version."""
        return bool(self._ask(lambda client: client.test_compatibility(subject, _avro(text))))

    def close(self) -> None:
        """Close the connections. The next question opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None and client[0] == os.getpid():
            leave: Callable[..., object] = client[1].__exit__  # a method `close` came with confluent-kafka 2.16
            leave(None, None, None)

    def _ask(self, question: Callable[[SchemaRegistryClient], T]) -> T:
        try:
            return question(self._connected())
        except SchemaRegistryError as error:
            if error.http_status_code in _LOGIN:
                self.close()  # the next question logs in with what the file of the secret has then
            raise _classified(error, self._settings.name) from None
        except RegistryError:
            raise
        except Exception as error:  # noqa: BLE001 - a wrong answer fails anywhere in the client
            self.close()
            raise UnavailableError(f"{self._settings.name} {_why(error)}") from None

    def _connected(self) -> SchemaRegistryClient:
        """A client of this process: a forked child must not share its parent's connections."""
        with self._lock:
            if self._client is None or self._client[0] != os.getpid():
                self._client = (os.getpid(), SchemaRegistryClient(_configuration(self._settings)))
            return self._client[1]


def _configuration(settings: RegistrySettings) -> dict[str, Any]:
    found: dict[str, Any] = {"url": ",".join(settings.urls), "timeout": ANSWER_SECONDS, "max.retries": 0}
    for name in ("ssl_ca_location", "ssl_certificate_location", "ssl_key_location"):
        if path := getattr(settings, name):
            found[name.replace("_", ".")] = path
    if password := _secret(settings, "ssl_key_password"):
        found["ssl.key.password"] = password
    if login := _secret(settings, "user_info"):
        found["basic.auth.user.info"] = login
    if _secret(settings, "token"):
        found["bearer.auth.credentials.source"] = "CUSTOM"
        found["bearer.auth.custom.provider.config"] = {}
        # asked for each request, so a file that was replaced counts at once; the client wants a cluster's name, too
        found["bearer.auth.custom.provider.function"] = lambda _: {
            "bearer.auth.token": _secret(settings, "token"),
            "bearer.auth.logical.cluster": "",
        }
    return found


def _secret(settings: RegistrySettings, name: str) -> str:
    """As `RegistrySettings.secret`; raises `UnavailableError` for a file that cannot be read: it may be replaced."""
    try:
        return settings.secret(name)
    except ValueError as error:
        raise UnavailableError(f"{settings.name} is not asked: {variable(name)}{FILE_SUFFIX}: {error}") from None


def _avro(text: str) -> Schema:
    return Schema(text, "AVRO")


def _registered(schema_id: Any, schema: Any, name: str, version: int | None = None) -> Registered:
    """Raises `UnavailableError` for an answer in which something is missing."""
    text, kind = getattr(schema, "schema_str", None), getattr(schema, "schema_type", None)
    if not isinstance(text, str) or not isinstance(schema_id, int):
        raise UnavailableError(f"{name} answers, and the answer holds no schema; is it a schema registry?")
    return Registered(schema_id, text, str(kind or "AVRO"), version)


def _why(error: Exception) -> str:
    """What is wrong, without any text of an answer."""
    if isinstance(error, OSError) or type(error).__module__.startswith("httpx"):
        return masked(f"does not answer ({type(error).__name__}: {error})")
    if isinstance(error, JSONDecodeError):
        return "answers with something that is no JSON; is it a schema registry?"
    return f"gives no answer that can be used ({type(error).__name__})"


def _classified(error: SchemaRegistryError, name: str) -> Exception:
    status, code = error.http_status_code, error.error_code
    if status == 404 and code in _NOT_FOUND_CODES:
        return NotFoundError(f"{name} does not have it")
    if status in _LOGIN:
        kind = LoginRefusedError if status == 401 else ForbiddenError
        return kind(f"{name} refuses the login (HTTP {status})")
    if status in _REFUSED:
        return RefusedError(f"{name} refuses the schema (HTTP {status}, code {code})")
    hint = "; is it a schema registry, and is the path right?" if status < 500 and status != 429 else ""
    return UnavailableError(f"{name} answers with HTTP {status}{hint}")
