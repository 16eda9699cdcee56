"""The schema registry, for commands: they wait for an answer, within a limit. The consumer asks in a thread.

The registry's client is imported only where a registry is configured: that takes half a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from jobstatus_schemas import UndecodableError, schema_text
from jobstatus_schemas.event import SCHEMA_VERSIONS
from jobstatus_schemas.framing.confluent import SchemaOf
from jobstatus_schemas.registry.errors import (
    ForbiddenError,
    LoginRefusedError,
    NotFoundError,
    RefusedError,
    RegistryError,
    UnavailableError,
)
from jobstatus_schemas.registry.settings import RegistrySettings, variable
from jobstatus_schemas.schema import Schema

from jobstatus_consumer.errors import RegistryAwayError, SettingsError

if TYPE_CHECKING:
    from jobstatus_schemas.registry.client import Registered, RegistryClient
    from jobstatus_schemas.registry.schemas import Schemas


def known_schemas(registry: RegistrySettings) -> Schemas:
    """The schemas of this registry, for every use in this process. Raises `SettingsError` without its libraries."""
    with _installed():
        from jobstatus_schemas.registry.schemas import schemas_of

    return schemas_of(registry)


def asked_patiently(registry: RegistrySettings) -> SchemaOf:
    """A function that asks for the schema of an id. It blocks for about 10 s if the registry gives no answer.

    It raises `UndecodableError`, and then `RegistryAwayError`.
    """
    schemas = known_schemas(registry)

    def schema_of(schema_id: int) -> Schema:
        try:
            return schemas.ask_patiently(schema_id)
        except UnavailableError as error:
            raise RegistryAwayError(
                f"an event needs schema id {schema_id}, and the schema registry {error}. "
                "Nothing was decided about that event; run the command again when the registry answers"
            ) from None

    return schema_of


def trouble_with(registry: RegistrySettings) -> str:
    """Why the registry gives no answer; empty if it does. Blocks for some seconds at most."""
    try:
        with _asking(registry) as client:
            client.schema(1)
    except NotFoundError:
        return ""
    except RegistryError as error:
        return str(error)
    return ""


@dataclass(frozen=True, slots=True)
class SubjectState:
    """What a registry has of the event's schema under one subject; None where it has nothing."""

    subject: str
    id: int | None = None
    version: int | None = None
    latest_version: int | None = None
    is_compatible: bool = True
    """whether the registry's rule allows the event's schema as the next version; True without any version"""
    problems: Sequence[str] = ()

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return asdict(self)


def subject_name(strategy: str, topic: str) -> str:
    """The subject for `topic`, by one of `SUBJECT_STRATEGIES`. Raises `SettingsError` without the libraries."""
    with _installed():
        from jobstatus_schemas.registry.subjects import subject_of

    return subject_of(strategy, topic)


def state_of(registry: RegistrySettings, subject: str) -> SubjectState:
    """What the registry has. Blocks for a few answers. Raises `RegistryAwayError`."""
    from jobstatus_schemas.registry.subjects import registered

    with _translated("read"), _asking(registry) as client:
        try:
            latest = client.latest(subject)
        except NotFoundError:
            return SubjectState(subject, problems=(_NOT_THERE,))
        problems = _unreadable(latest)
        try:
            ours = registered(client, subject, SCHEMA_VERSIONS[-1])
        except NotFoundError:
            allowed = client.is_compatible(subject, schema_text())
            return SubjectState(subject, None, None, latest.version, allowed, (_NOT_THERE, *problems))
        return SubjectState(subject, ours.id, ours.version, latest.version, problems=problems)


def register(registry: RegistrySettings, subject: str) -> int:
    """Register the event's schema, and return its id. Blocks for one answer. Raises `RegistryAwayError`."""
    with _translated("write"), _asking(registry) as client:
        return client.register(subject, schema_text())


_NOT_THERE: Final = "the event's schema is not registered; register it with: jobstatus schema register"


def _unreadable(latest: Registered) -> tuple[str, ...]:
    """Why no consumer can read events of the newest version, if that is certain."""
    from jobstatus_schemas.registry.writers import writer_schema

    try:
        writer_schema(latest.id, latest.text, latest.kind)
    except UndecodableError as error:
        return (f"the newest version cannot be read, its events become dead letters: {error}",)
    return ()


@contextmanager
def _asking(registry: RegistrySettings) -> Iterator[RegistryClient]:
    with _installed():
        from jobstatus_schemas.registry.client import RegistryClient

    client = RegistryClient(registry)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _installed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        text = f"JOBSTATUS_SCHEMA_REGISTRY_URL: {error.name} is not installed; pip install 'jobstatus[registry]'"
        raise SettingsError(text) from None


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    """`doing` is what the login needs the right to: read or write."""
    try:
        yield
    except RegistryError as error:
        text = f"the schema registry {error}. Nothing was changed; {_remedy(error, doing)}"
        raise RegistryAwayError(text) from None


def _remedy(error: RegistryError, doing: str) -> str:
    match error:
        case RefusedError():
            return "look at the registry's mode (is it READONLY?) and at its rules for the subject"
        case ForbiddenError():
            return f"this login may not {doing} there: give it the right, or use another login"
        case LoginRefusedError():
            return f"correct {variable('user_info')} or {variable('token')}"
        case _:
            return "try again when it answers"
