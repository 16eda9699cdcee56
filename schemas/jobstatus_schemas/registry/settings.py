"""Where the schema registry is, and how to log in there: variables that both sides read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from jobstatus_schemas.masking import remember, remember_token
from jobstatus_schemas.protocol import FILE_SUFFIX, REGISTRY_ENV_PREFIX
from jobstatus_schemas.secret_files import read_secret

MEANING: Final[Mapping[str, str]] = {
    "url": "the registry, as http(s)://host:port[/path]; several of one registry are separated by commas",
    "user_info": "the login, as user:password",
    "token": "the login, as a bearer token",
    "ssl_ca_location": "a file with the certificates that the registry's is checked with; certifi's if not set",
    "ssl_certificate_location": "a file with this program's certificate, for mutual TLS",
    "ssl_key_location": "a file with the key of that certificate",
    "ssl_key_password": "the password of that key",
}
SECRETS: Final = ("user_info", "token", "ssl_key_password")
"""Each may be in a file, which its name with `_FILE` names. It is read again for each new connection."""


@dataclass(frozen=True, kw_only=True)
class RegistrySettings:
    """A registry. `files` are the files of secrets, by field. Raises `ValueError`, which names the variable."""

    url: str
    user_info: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    ssl_ca_location: str = ""
    ssl_certificate_location: str = ""
    ssl_key_location: str = ""
    ssl_key_password: str = field(default="", repr=False)
    files: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for url in self.urls:
            _check_url(url)
        given = {name for name in SECRETS if getattr(self, name)} | {name for name, _ in self.files}
        if {"user_info", "token"} <= given:
            raise ValueError(f"{variable('user_info')} and {variable('token')} are both set; set one of them")
        secrets = {name: self.secret(name) for name in given}
        if ":" not in secrets.get("user_info", ":"):
            raise ValueError(f"{variable('user_info')}: wanted user:password")
        for name in ("ssl_ca_location", "ssl_certificate_location", "ssl_key_location"):
            path = getattr(self, name)
            if path and not os.path.exists(path):
                raise ValueError(f"{variable(name)}: there is no file {path}")
        if self.ssl_key_location and not self.ssl_certificate_location:
            raise ValueError(f"{variable('ssl_key_location')} needs {variable('ssl_certificate_location')}")

    @property
    def urls(self) -> list[str]:
        """Its addresses, in the order in which they are tried."""
        return [part.strip().rstrip("/") for part in self.url.split(",") if part.strip()]

    @property
    def name(self) -> str:
        """The addresses, for a message: they hold no password."""
        return " or ".join(self.urls)

    def secret(self, name: str) -> str:
        """A secret, from its file if it has one; empty if it is not set. Raises `ValueError` if a file is unreadable.

        From here on it is hidden in every text that `masked` returns. A token from a file is hidden until 64 newer ones
        have come.
        """
        path = dict(self.files).get(name)
        found = read_secret(path) if path else str(getattr(self, name))
        if path and name == "token":
            remember_token(found)
        else:
            remember([found, found.partition(":")[2]])
        return found

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> RegistrySettings | None:
        """The registry of these variables; None if no URL is set. Raises `ValueError`, which names the variable."""
        given = {name: environ[variable(name)] for name in MEANING if environ.get(variable(name))}
        files = tuple((name, path) for name in SECRETS if (path := environ.get(variable(name) + FILE_SUFFIX)))
        for name, _ in files:
            if name in given:
                raise ValueError(f"{variable(name)} and {variable(name)}{FILE_SUFFIX} are both set; set one of them")
        if "url" not in given:
            for name in (*given, *(name + FILE_SUFFIX.lower() for name, _ in files)):
                raise ValueError(f"{variable(name)} is set, and {variable('url')} is not; set both or none")
            return None
        return cls(**given, files=files)


def variable(name: str) -> str:
    """The environment variable of a field."""
    return REGISTRY_ENV_PREFIX + name.upper()


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{variable('url')}: holds a login; set {variable('user_info')} instead")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"{variable('url')}: wanted http://host:port or https://host:port, with a path if there is one"
        )
