"""The secrets that this process was given, so that no log line and no message repeats one of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from jobstatus_schemas.masking import without_secrets

_KNOWN: Final[set[str]] = set()


def remember(secrets: Iterable[str]) -> None:
    """Hide these from now on. They are kept until the process ends: an old one may still be in an error's text."""
    _KNOWN.update(secret for secret in secrets if secret)


def masked(text: str) -> str:
    """Return the text without the secrets that are known."""
    return without_secrets(text, _KNOWN)
