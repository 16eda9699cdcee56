"""What can go wrong with a registry, by what a caller does."""

from __future__ import annotations


class RegistryError(Exception):
    """The root. The text is for a person, and has no secret and no text of an answer."""


class UnavailableError(RegistryError):
    """The registry gives no answer that can be used: unreachable, slow, refusing the login, no registry. Ask again."""


class LoginRefusedError(UnavailableError):
    """The registry does not accept the login. A file with it may be replaced, so it is worth asking again."""


class ForbiddenError(UnavailableError):
    """The registry accepts the login, which has no right to what was asked. Somebody may give it the right."""


class NotFoundError(RegistryError):
    """The registry answers that it does not have it."""


class RefusedError(RegistryError):
    """The registry refuses what it was asked to do, and would do so again."""
