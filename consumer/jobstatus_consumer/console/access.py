"""Who may ask the console, and under which names: decided once at the start, from the settings."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from jobstatus_schemas.secret_files import read_secret

from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import SettingsError

COOKIE: Final = "jobstatus_console"
SHORTEST_TOKEN: Final = 16
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_EVERY_INTERFACE: Final = ("0.0.0.0", "::")  # noqa: S104 - names of it, nothing listens here


@dataclass(frozen=True, slots=True)
class Access:
    """The address, and what a request needs. With neither a token nor a user header, only this machine can ask."""

    host: str
    port: int
    token: str = ""
    user_header: str = ""
    hosts: frozenset[str] = frozenset()
    """further names that a request may ask for"""

    @classmethod
    def of(cls, settings: Settings) -> Access:
        """Return the access that the settings give; raises `SettingsError` if others could ask without a log-in."""
        host, _, port = settings.console_address.rpartition(":")
        names = frozenset(name.strip().lower() for name in settings.console_hosts.split(",") if name.strip())
        found = cls(host.strip("[]"), int(port), _token(settings), settings.console_user_header, names)
        if not found.is_loopback and not found.token and not found.user_header:
            raise SettingsError(
                f"JOBSTATUS_CONSOLE_ADDRESS (--console-address): other machines reach {settings.console_address}, and "
                "nobody would have to log in. The console was not started. Set JOBSTATUS_CONSOLE_TOKEN (or "
                "JOBSTATUS_CONSOLE_TOKEN_FILE), or JOBSTATUS_CONSOLE_USER_HEADER behind a proxy that logs users in"
            )
        return found

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        return self.host in _LOOPBACK or self.host.startswith("127.")

    @property
    def needs_login(self) -> bool:
        """Whether a request must say who asks."""
        return bool(self.token or self.user_header)

    @property
    def how_to_log_in(self) -> str:
        """What a request lacks that does not say who asks."""
        if self.token:
            return "send the token as Authorization: Bearer ..."
        return f"ask through the proxy that sets the header {self.user_header}"

    def allows_host(self, host: str) -> bool:
        """Whether a request may ask for this Host: another one is a page of a stranger that has our address.

        A log-in protects against that by itself, and a server on every interface has names that it does not know.
        """
        name = host_name(host)
        if name in self.hosts or name == self.host.lower() or (self.is_loopback and name in _LOOPBACK):
            return True
        return self.needs_login and not self.hosts and self.host in _EVERY_INTERFACE

    def allows_origin(self, origin: str, host: str) -> bool:
        """Whether a page of this Origin may ask: only our own."""
        _, separator, asked_by = origin.partition("://")
        return bool(separator) and (asked_by == host.lower() or host_name(asked_by) in self.hosts)

    def user_of(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> str | None:
        """Return the name of the user who asks; None if the request must log in first."""
        if self.user_header and headers.get(self.user_header.lower(), ""):
            return headers[self.user_header.lower()]
        if self.token:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            if scheme.lower() == "bearer" and self.is_token(given):
                return "token"
            if hmac.compare_digest(cookies.get(COOKIE, "").encode(), self.cookie.encode()):
                return "token"
        return None if self.needs_login else "local"

    def is_token(self, text: str) -> bool:
        """Whether this is the token; takes the same time for every text."""
        return hmac.compare_digest(text.strip().encode(), self.token.encode())

    @property
    def cookie(self) -> str:
        """The value of the cookie of those who have typed the token; the token cannot be found from it."""
        return hmac.new(self.token.encode(), b"jobstatus console", hashlib.sha256).hexdigest()


def host_name(host: str) -> str:
    """Return the name in a `Host`, without its port and the brackets of an IPv6 address."""
    name = host.lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0] if ":" in name else name


def _token(settings: Settings) -> str:
    token = settings.console_token.get_secret_value()
    if settings.console_token_file:
        if token:
            raise SettingsError("JOBSTATUS_CONSOLE_TOKEN and JOBSTATUS_CONSOLE_TOKEN_FILE are both set; set one")
        try:
            token = read_secret(settings.console_token_file)
        except ValueError as error:
            raise SettingsError(f"JOBSTATUS_CONSOLE_TOKEN_FILE (--console-token-file): {error}") from None
    if token and len(token) < SHORTEST_TOKEN:
        raise SettingsError(
            f"JOBSTATUS_CONSOLE_TOKEN: the token is too short; wanted at least {SHORTEST_TOKEN} characters"
        )
    return token
