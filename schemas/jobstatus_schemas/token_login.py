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
from concurrent.futures import Future, wait
from typing import Any, Final

from jobstatus_schemas.masking import masked, remember_token

PROPERTY: Final = "oauth.cb"
"""As `kafka_properties` reads it from the variable."""
ANSWER_SECONDS: Final = 8.0
"""How long the function may take. A new client waits 10 s for its first token."""
WHILE_VALID: Final = 1.0
"""How long it may take while the last token is valid. What it returns later is used at the client's next call."""
END_OF_TIME: Final = 253_402_300_800.0
"""The first second of the year 10000."""
_CLIENTS_NAME: Final = "oauth_cb"

MakeToken = Callable[[str], Any]
_LAST: Final[dict[tuple[str, str], tuple[Any, ...]]] = {}
"""By function and its argument: the last token, which every client of this process may use until it expires."""

_TROUBLE: Final[dict[tuple[str, str], str]] = {}
"""By function and its argument: why the last call gave no token, if it gave none."""


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


def trouble_now() -> str:
    """Why a function of this process gives no token at present; empty if each has given one at its last call."""
    return next(iter(_TROUBLE.values()), "")


class TokenLogin:
    """What the Kafka client calls for a token, in a thread of its own."""

    def __init__(self, name: str, seconds: float = ANSWER_SECONDS) -> None:
        self._name = name
        self._function = token_function(name)
        self._seconds = seconds
        self._call: Future[Any] | None = None
        self.trouble = ""

    def __call__(self, config: str) -> tuple[Any, ...]:
        """A new token. If the function gives none, the last one, as long as it is valid.

        Blocks for 8 s at most, and for 1 s while the last token is valid: the client cannot be closed meanwhile.
        Raises `RuntimeError`, which names the function and what is wrong; the client then asks again after 10 s.
        """
        last = _LAST.get((self._name, config))
        is_valid = last is not None and last[1] > time.time()
        try:
            token = _checked(self._answer(config, min(self._seconds, WHILE_VALID) if is_valid else self._seconds))
        except Exception as error:  # noqa: BLE001 - the function is the user's
            self.trouble = _TROUBLE[self._name, config] = masked(f"{self._name}: {type(error).__name__}: {error}")
            if last is None or not is_valid:
                raise RuntimeError(self.trouble) from None
            return last
        self.trouble = ""
        _TROUBLE.pop((self._name, config), None)
        _LAST[self._name, config] = token
        return token

    def _answer(self, config: str, seconds: float) -> Any:
        """What the function returns or raises. While a call hangs it is waited for again, and no other one is begun.

        A thread of its own keeps a function that hangs from stopping the client.
        """
        call = self._call = self._call or _begun(self._function, config)
        if not wait((call,), seconds).done:
            raise TimeoutError(f"no token within {seconds:g} s")
        self._call = None
        return call.result()


def _begun(function: MakeToken, config: str) -> Future[Any]:
    made: Future[Any] = Future()

    def call() -> None:
        try:
            made.set_result(function(config))
        except Exception as error:  # noqa: BLE001 - it is raised again in the thread that waits
            made.set_exception(error)
        except BaseException as error:  # noqa: BLE001 - such as sys.exit, which must not end the client's thread
            made.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))

    threading.Thread(target=call, name="jobstatus-token", daemon=True).start()
    return made


def _checked(token: Any) -> tuple[Any, ...]:
    """The token as the Kafka client takes it. Raises `TypeError` or `ValueError`, without the token in the text."""
    if not isinstance(token, tuple) or len(token) < 2 or not isinstance(token[0], str):
        raise TypeError(f"wanted (token, seconds since 1970 at which it expires), got {type(token).__name__}")
    text, expires, *more = token
    if not text:
        raise ValueError("the token is empty")
    remember_token(text)
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("the token holds a blank, or a character that no token may hold")
    if not all(isinstance(item, kind) for item, kind in zip(more, (str, dict), strict=False)) or len(more) > 2:
        raise TypeError(
            "after token and time, wanted nothing, the principal, or the principal and a dict of extensions"
        )
    return (text, _end(expires), *more)


def _end(expires: Any) -> float:
    """When a token expires, in seconds since 1970. Raises `TypeError` or `ValueError`."""
    try:
        found = float(expires)
    except (TypeError, ValueError):
        raise TypeError(f"wanted the seconds since 1970 at which it expires, got {type(expires).__name__}") from None
    if not found <= END_OF_TIME:
        raise ValueError(
            "the token expires after the year 9999: is that time in milliseconds? Wanted seconds since 1970"
        )
    if (ago := time.time() - found) >= 0:
        raise ValueError(f"the token expired {ago:.0f} s ago; wanted seconds since 1970, in UTC")
    return found
