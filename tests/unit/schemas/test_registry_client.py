"""The client of the schema registry: what it needs of confluent-kafka, and what it says about a file of a secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from jobstatus_schemas.masking import masked
from jobstatus_schemas.registry import client as module
from jobstatus_schemas.registry.client import RegistryClient
from jobstatus_schemas.registry.errors import UnavailableError
from jobstatus_schemas.registry.settings import RegistrySettings


class WithoutClose:
    """The client of confluent-kafka 2.13.2 to 2.15: it is a context manager, and has no `close`."""

    open = 0

    def __init__(self, _configuration: object) -> None:
        WithoutClose.open += 1

    def __exit__(self, *_: object) -> None:
        WithoutClose.open -= 1


def test_a_client_without_a_method_to_close_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SchemaRegistryClient", WithoutClose)
    client = RegistryClient(RegistrySettings(url="http://localhost:1"))
    client.connect()
    assert WithoutClose.open == 1
    client.close()
    assert WithoutClose.open == 0


@pytest.mark.parametrize(
    ("name", "at_once"), [("user_info", True), ("token", True), ("token", False), ("ssl_key_password", True)]
)
def test_a_file_of_a_secret_that_cannot_be_read_is_named(tmp_path: Path, name: str, *, at_once: bool) -> None:
    secret = tmp_path / "secret"
    secret.write_text("user:swordfish-7")
    client = RegistryClient(RegistrySettings(url="http://localhost:1", files=((name, str(secret)),)))
    if not at_once:
        client.connect()  # a token is read again for each request
    secret.unlink()
    with pytest.raises(UnavailableError) as caught:
        client.schema(1)
    variable = f"JOBSTATUS_SCHEMA_REGISTRY_{name.upper()}_FILE"
    why = f"{variable}: the file {secret} cannot be read: No such file or directory"
    assert str(caught.value) == f"http://localhost:1 is not asked: {why}"
    client.close()


def test_only_the_newest_tokens_of_a_file_are_remembered_and_every_other_secret_is(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("first")
    settings = RegistrySettings(url="http://localhost:1", files=(("token", str(secret)),))
    RegistrySettings(url="http://localhost:1", token="bearer-of-a-variable")
    RegistrySettings(url="http://localhost:1", user_info="somebody:swordfish-8")
    for number in range(100):
        secret.write_text(f"bearer-{number}-")
        settings.secret("token")
    assert masked("bearer-1- bearer-99- bearer-of-a-variable swordfish-8") == "bearer-1- *** *** ***"
