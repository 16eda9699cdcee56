"""A login with tokens (OAUTHBEARER): a function of the user's makes them, for every Kafka client of both sides.

The variable `JOBSTATUS_KAFKA_OAUTH_CB` names it as `package:function`. It is called with the text of the property
`sasl.oauthbearer.config`, and returns the token and when it expires, in seconds since 1970-01-01 UTC; the principal and
a mapping of SASL extensions may follow. The client calls it again before the token expires.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from jobstatus_schemas.masking import masked, remember

PROPERTY: Final = "oauth.cb"
"""As `kafka_properties` reads it from the variable."""
ANSWER_SECONDS: Final = 8.0
"""How long the function may take. A new client waits 10 s for its first token."""
_CLIENTS_NAME: Final = "oauth_cb"

MakeToken = Callable[[str], Any]
_LAST: Final[dict[tuple[str, str], tuple[Any, ...]]] = {}
"""By function and its argument: the last token, which every client of this process may use until it expires."""


def token_function(name: str) -> MakeToken:
    """The function of this name. Imports its package, and so may block. Raises `ValueError` with what is wrong."""
    package, _, path = name.partition(":")
    if not package or not path:
        raise ValueError(f"wanted package:function, got {name!r}")
    try:
        found: Any = importlib.import_module(package)
        for part in path.split("."):
            found = getattr(found, part)
    except Exception as error:  # noqa: BLE001 - an import may raise anything
        text = f"{name} cannot be imported ({type(error).__name__}: {error}); is it installed, or on PYTHONPATH?"
        raise ValueError(text) from None
    if not callable(found):
        raise ValueError(f"{name} is no function")
    return found  # type: ignore[no-any-return]  # whatever the user has written


def with_login(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Properties for the Kafka client, with the function in place of its name. Raises as `token_function` does."""
    given = dict(properties)
    name = given.pop(PROPERTY, None)
    if name:
        given[_CLIENTS_NAME] = TokenLogin(str(name))
    return given


def trouble_of(properties: Mapping[str, Any]) -> str:
    """Why the function gave no token at its last call for a client with these properties; empty if it gave one."""
    login = properties.get(_CLIENTS_NAME)
    return login.trouble if isinstance(login, TokenLogin) else ""


class TokenLogin:
    """What the Kafka client calls for a token, in a thread of its own."""

    def __init__(self, name: str, seconds: float = ANSWER_SECONDS) -> None:
        self._name = name
        self._function = token_function(name)
        self._seconds = seconds
        self.trouble = ""

    def __call__(self, config: str) -> tuple[Any, ...]:
        """A new token. If the function gives none, the last one, as long as it is valid. Blocks for 8 s at most.

        Raises `RuntimeError`, which names the function and what is wrong; the client then asks again after 10 s.
        """
        try:
            token = _checked(self._answer(config))
        except Exception as error:  # noqa: BLE001 - the function is the user's
            self.trouble = masked(f"{self._name}: {type(error).__name__}: {error}")
            last = _LAST.get((self._name, config))
            if last is None or last[1] <= time.time():
                raise RuntimeError(self.trouble) from None
            return last
        self.trouble = ""
        _LAST[self._name, config] = token
        return token

    def _answer(self, config: str) -> Any:
        """What the function returns or raises; a thread of its own keeps one that hangs from stopping the client."""
        made: list[Any] = []
        failed: list[Exception] = []

        def call() -> None:
            try:
                made.append(self._function(config))
            except Exception as error:  # noqa: BLE001 - it is raised again in the thread that waits
                failed.append(error)

        thread = threading.Thread(target=call, name="jobstatus-token", daemon=True)
        thread.start()
        thread.join(self._seconds)
        if failed:
            raise failed[0]
        if not made:
            raise TimeoutError(f"no token within {self._seconds:g} s")
        return made[0]


def _checked(token: Any) -> tuple[Any, ...]:
    if not isinstance(token, tuple) or len(token) < 2 or not isinstance(token[0], str):
        raise TypeError(f"wanted (token, seconds since 1970 at which it expires), got {type(token).__name__}")
    remember([token[0]])
    return (token[0], float(token[1]), *token[2:])
