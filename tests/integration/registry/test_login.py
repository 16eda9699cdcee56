"""How the registry is reached: several addresses, each kind of login, and no secret in any text."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path

import pytest
from jobstatus_local.ports import PortLease
from jobstatus_schemas import schema_text
from jobstatus_schemas.registry.client import RegistryClient
from jobstatus_schemas.registry.errors import NotFoundError, UnavailableError
from jobstatus_schemas.registry.settings import RegistrySettings
from support.apicurio import Registry
from support.certificates import Authority
from support.registry_gate import Gate, Mood


def client(url: str, **variables: str) -> RegistryClient:
    named = {f"JOBSTATUS_SCHEMA_REGISTRY_{name}": value for name, value in {"URL": url, **variables}.items()}
    settings = RegistrySettings.from_env(named)
    assert settings is not None
    return RegistryClient(settings)


def test_the_next_address_is_asked_if_one_gives_no_answer(registry: Registry, gate: Gate) -> None:
    schema_id = registry.register("several", schema_text())
    broken = Gate(registry.url)
    broken.mood = Mood.HTML
    with PortLease() as nobody:
        addresses = f"http://127.0.0.1:{nobody.port},{broken.url}, {gate.url}"
        asked = client(addresses)
        assert asked.schema(schema_id).text == registry.ask("GET", f"/schemas/ids/{schema_id}")["schema"]
        asked.close()
    broken.close()
    assert len(broken.asked) == len(gate.asked) == 1


def test_a_password_and_a_token_are_sent_and_read_again_from_their_files(gate: Gate, tmp_path: Path) -> None:
    login, token = tmp_path / "login", tmp_path / "token"
    login.write_text("user:old-password\n")
    asked = client(gate.url, USER_INFO_FILE=str(login))
    gate.mood = Mood.LOGIN_REFUSED
    with pytest.raises(UnavailableError, match=r"refuses the login \(HTTP 401\)") as caught:
        asked.schema(99_999)
    assert "old-password" not in str(caught.value)
    login.write_text("user:new-password\n")
    gate.mood = Mood.OPEN
    with pytest.raises(NotFoundError):
        asked.schema(99_999)
    asked.close()
    sent = [base64.b64decode(str(item).removeprefix("Basic ")).decode() for item in gate.logins]
    assert sent == ["user:old-password", "user:new-password"]
    gate.logins.clear()
    token.write_text("first")
    asked = client(gate.url, TOKEN_FILE=str(token))
    for word in ("first", "second"):
        token.write_text(word)
        with pytest.raises(NotFoundError):
            asked.schema(99_999)
    asked.close()
    assert gate.logins == ["Bearer first", "Bearer second"]


def test_mutual_tls_with_an_encrypted_key(registry: Registry, tmp_path: Path) -> None:
    schema_id = registry.register("tls", schema_text())
    authority = Authority(tmp_path)
    server, own = authority.sign("server"), authority.sign("client", password="key-password")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate, server.key)
    context.load_verify_locations(authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    gate = Gate(registry.url, context)
    trusted = {"SSL_CA_LOCATION": str(authority.certificate)}
    mutual = {"SSL_CERTIFICATE_LOCATION": str(own.certificate), "SSL_KEY_LOCATION": str(own.key)}
    try:
        asked = client(gate.url, **trusted, **mutual, SSL_KEY_PASSWORD="key-password")
        assert asked.schema(schema_id).id == schema_id
        asked.close()
        for variables in ({}, trusted, {**trusted, **mutual, "SSL_KEY_PASSWORD": "wrong-password"}):
            refused = client(gate.url, **variables)
            with pytest.raises(UnavailableError) as caught:
                refused.schema(schema_id)
            assert "password" not in str(caught.value)
            refused.close()
    finally:
        gate.close()
