"""A function that makes tokens for the Kafka client, and what it may do wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from jobstatus_schemas import token_login
from jobstatus_schemas.masking import masked
from jobstatus_schemas.token_login import TokenLogin, token_function, trouble_of, with_login

HERE = SimpleNamespace(answer=None, release=threading.Event())
NAME = f"{__name__}:answer"


def answer(config: str) -> Any:
    """The function of the user."""
    if HERE.answer == "hangs":
        HERE.release.wait(30)
        return None
    if isinstance(HERE.answer, Exception):
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
    HERE.answer = ("hush-hush", 5)
    assert login("") == ("hush-hush", 5.0)
    HERE.answer = ("hush-hush", 5, "principal", {"name": "value"})
    assert login("") == ("hush-hush", 5.0, "principal", {"name": "value"})
    assert masked("what was refused is hush-hush") == "what was refused is ***"


@pytest.mark.parametrize("wrong", [None, "tok", ("tok",), (b"tok", 5), ("tok", "soon"), ["tok", 5]])
def test_what_is_no_token_is_refused_by_the_functions_name(login: TokenLogin, wrong: object) -> None:
    HERE.answer = wrong
    with pytest.raises(RuntimeError, match="answer"):
        login("")
    assert NAME in login.trouble


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
    HERE.answer = ("a-token-that-has-expired", time.time() - 1)
    login("config")
    HERE.answer = OSError("unreachable")
    with pytest.raises(RuntimeError, match="unreachable"):
        login("config")


def test_properties_without_a_function_stay_as_they_are() -> None:
    properties = {"client.id": "x", "oauth.cb": ""}
    assert with_login(properties) == {"client.id": "x"}
    assert trouble_of(with_login(properties)) == ""
