"""The schema registry, for the commands: they wait for an answer, within a limit. The consumer asks in a thread.

The registry's client is imported only where a registry is configured: that takes half a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobstatus_schemas.framing.confluent import SchemaOf
from jobstatus_schemas.registry.errors import NotFoundError, UnavailableError
from jobstatus_schemas.registry.settings import RegistrySettings
from jobstatus_schemas.schema import Schema

from jobstatus_consumer.errors import RegistryAwayError

if TYPE_CHECKING:
    from jobstatus_schemas.registry.schemas import Schemas


def known_schemas(registry: RegistrySettings) -> Schemas:
    """The schemas of this registry, for every use in this process."""
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
    from jobstatus_schemas.registry.client import RegistryClient

    client = RegistryClient(registry)
    try:
        client.schema(1)
    except NotFoundError:
        return ""
    except UnavailableError as error:
        return str(error)
    finally:
        client.close()
    return ""
