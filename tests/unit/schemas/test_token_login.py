"""A function that makes tokens for the Kafka client, and what it may do wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from jobstatus_schemas import masking, token_login
from jobstatus_schemas.masking import masked
from jobstatus_schemas.token_login import TokenLogin, token_function, trouble_of, with_login
from support.waiting import until

HERE = SimpleNamespace(answer=None, late=None, release=threading.Event())
NAME = f"{__name__}:answer"


def answer(config: str) -> Any:
    """The function of the user."""
    if HERE.answer == "hangs":
        HERE.release.wait(30)
        return HERE.late
    if isinstance(HERE.answer, BaseException):
        raise HERE.answer
    return HERE.answer


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenLogin]:
    monkeypatch.setattr(token_login, "_LAST", {})
    monkeypatch.setattr(token_login, "token_function", lambda name: answer)
    HERE.release.clear()
    yield TokenLogin(NAME, seconds=0.2)
    HERE.release.set()


@pytest.mark.parametrize("name", ["", "os", ":getcwd", "os:", "no.such.package:function", "os:no_such", "os:sep"])
def test_a_name_that_is_no_function_is_refused_with_what_is_wrong(name: str) -> None:
    with pytest.raises(ValueError, match=r"wanted package:function|cannot be imported|is no function"):
        token_function(name)


def test_a_function_may_be_a_method_of_a_class() -> None:
    assert callable(token_function("pathlib:Path.cwd"))


def test_the_client_gets_the_token_and_its_time_and_what_follows(login: TokenLogin) -> None:
    end = int(time.time()) + 60
    for more in ((), ("principal",), ("principal", {"name": "value"})):
        HERE.answer = ("hush-hush", end, *more)
        assert login("") == ("hush-hush", float(end), *more)
    assert masked("what was refused is hush-hush") == "what was refused is ***"


LATER = time.time() + 3600
WRONG: list[tuple[object, str]] = [
    (None, "got NoneType"),
    ("tok", "got str"),
    (("tok",), "got tuple"),
    ((b"tok", LATER), "got tuple"),
    (["tok", LATER], "got list"),
    (("tok", "soon"), "wanted the seconds since 1970 at which it expires, got str"),
    (("tok", datetime.now(UTC)), "got datetime"),
    (("tok", LATER * 1000), "is that time in milliseconds"),
    (("tok", float("nan")), "is that time in milliseconds"),
    (("tok", time.time() - 100), r"the token expired \d+ s ago"),
    (("tok", True), "the token expired"),
    (("", LATER), "the token is empty"),
    (("two words", LATER), "holds a blank"),
    (("line\n", LATER), "holds a blank"),
    (("tökèn", LATER), "holds a blank"),
    (("tok", LATER, None), "after token and time, wanted"),
    (("tok", LATER, "principal", None), "after token and time, wanted"),
    (("tok", LATER, "principal", {}, 1), "after token and time, wanted"),
]


@pytest.mark.parametrize(("wrong", "text"), WRONG)
def test_what_is_no_token_is_refused_by_the_functions_name(login: TokenLogin, wrong: object, text: str) -> None:
    HERE.answer = wrong
    with pytest.raises(RuntimeError, match=text):
        login("")
    assert login.trouble.startswith(f"{NAME}: ")
    assert "tok" not in login.trouble.removeprefix(NAME).replace("token", "")


def test_a_function_that_ends_its_thread_is_named(login: TokenLogin) -> None:
    HERE.answer = SystemExit(3)
    with pytest.raises(RuntimeError, match="SystemExit: 3"):
        login("")


def test_a_function_that_hangs_is_not_begun_again_and_its_late_token_is_used(login: TokenLogin) -> None:
    before = threading.active_count()
    HERE.answer = "hangs"
    for _ in range(3):
        with pytest.raises(RuntimeError, match="no token within"):
            login("")
    assert threading.active_count() == before + 1
    late = HERE.late = ("late", LATER)
    HERE.release.set()
    assert login("") == late


def test_only_the_newest_tokens_are_remembered() -> None:
    for number in range(1000):
        masking.remember_token(f"rotated-{number}-")
    assert masked("rotated-999- rotated-1-") == "*** rotated-1-"


def test_a_function_that_hangs_is_given_up_within_its_time(login: TokenLogin) -> None:
    HERE.answer = "hangs"
    with pytest.raises(RuntimeError, match=r"no token within 0\.2 s"):
        login("")


def test_while_the_function_fails_the_last_token_is_used_until_it_expires(login: TokenLogin) -> None:
    good = ("a-token-of-this-test", time.time() + 60)
    HERE.answer = good
    login("config")
    HERE.answer = OSError("unreachable")
    assert login("config") == good
    assert "unreachable" in login.trouble
    with pytest.raises(RuntimeError, match="unreachable"):
        login("another config")
    HERE.answer = ("a-token-that-has-expired", (end := time.time() + 0.2))
    login("config")
    HERE.answer = OSError("unreachable")
    until(lambda: time.time() > end, "the token has expired")
    with pytest.raises(RuntimeError, match="unreachable"):
        login("config")


def test_properties_without_a_function_stay_as_they_are() -> None:
    properties = {"client.id": "x", "oauth.cb": ""}
    assert with_login(properties) == {"client.id": "x"}
    assert trouble_of(with_login(properties)) == ""
