"""Which of librdkafka's properties hold secrets, and texts without them: both sides print errors of the same client."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

SECRET_WORDS: Final = ("password", "secret", "token", "sasl.oauthbearer.config", "sasl.jaas.config", ".key", ".pem")
HIDDEN: Final = "***"
_SERVERS: Final = "bootstrap.servers"
_BEFORE_A_QUOTE: Final = "beginning at:"
_KNOWN: Final[set[str]] = set()
_TOKENS: Final[deque[str]] = deque(maxlen=64)
"""Tokens replace each other every few minutes: an error's text holds one of the newest."""
_USER_INFO = re.compile(r"([^\s,/@]+)@")


def is_secret(name: str) -> bool:
    """Return whether librdkafka's property `name` may hold a secret. The path of a key is none."""
    return not name.endswith(".location") and any(word in name for word in SECRET_WORDS)


def secrets_of(properties: Mapping[str, str]) -> list[str]:
    """Return the secrets in these properties, also a user and a password that were written before a broker's name."""
    found = [value for name, value in properties.items() if value and is_secret(name)]
    for user_info in _USER_INFO.findall(properties.get(_SERVERS, "")):
        found += [user_info, user_info.partition(":")[2]]
    return [secret for secret in found if secret]


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return `text`, fit to be shown: librdkafka quotes what it could not read, which may be a password."""
    # the longest first, because a short secret may be a part of a longer one
    for secret in sorted(secrets, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", HIDDEN, text)
    before, quote_follows, _ = text.partition(_BEFORE_A_QUOTE)
    return f"{before}{quote_follows} {HIDDEN}" if quote_follows else text


def remember(secrets: Iterable[str]) -> None:
    """Hide these in `masked` from now on, until the process ends: an old secret may still be in an error's text."""
    _KNOWN.update(secret for secret in secrets if secret)


def remember_token(token: str) -> None:
    """Hide this in `masked` too, until 64 newer tokens have come."""
    if token not in _TOKENS:
        _TOKENS.append(token)


def masked(text: str) -> str:
    """Return the text without the secrets that this process was given."""
    return without_secrets(text, (*_KNOWN, *_TOKENS))
