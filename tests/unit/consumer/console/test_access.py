"""Who may ask, decided from the settings alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.console import Access
from jobstatus_consumer.errors import SettingsError

TOKEN = "0123456789abcdef"


def access(**flags: Any) -> Access:
    return Access.of(load_settings({}, flags))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:1", "[::1]:1", "127.8.9.10:1"])
def test_on_a_loopback_address_nobody_has_to_log_in(address: str) -> None:
    assert access(console_address=address).user_of({}, {}) == "local"


@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "10.1.2.3:1", "jobs.example:1"])
def test_any_other_address_wants_a_log_in(address: str) -> None:
    with pytest.raises(SettingsError, match=r"JOBSTATUS_CONSOLE_TOKEN.*JOBSTATUS_CONSOLE_USER_HEADER"):
        access(console_address=address)
    assert access(console_address=address, console_token=TOKEN).user_of({}, {}) is None
    assert access(console_address=address, console_user_header="X-User").user_of({}, {}) is None


def test_a_token_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    found = access(console_token_file=str(tmp_path / "token"))
    assert found.user_of({"authorization": f"bearer {TOKEN}"}, {}) == "token"
    with pytest.raises(SettingsError, match="both set"):
        access(console_token_file=str(tmp_path / "token"), console_token=TOKEN)
    with pytest.raises(SettingsError, match=r"JOBSTATUS_CONSOLE_TOKEN_FILE"):
        access(console_token_file=str(tmp_path / "none"))


def test_the_cookie_does_not_hold_the_token_and_is_worth_nothing_with_another_one() -> None:
    one, other = access(console_token=TOKEN), access(console_token=TOKEN[::-1])
    assert TOKEN not in one.cookie
    assert one.user_of({}, {"jobstatus_console": one.cookie}) == "token"
    assert other.user_of({}, {"jobstatus_console": one.cookie}) is None
    assert access().user_of({}, {"jobstatus_console": ""}) == "local"


def test_no_error_holds_the_token() -> None:
    with pytest.raises(SettingsError) as short:
        access(console_token="sesame")
    assert "sesame" not in str(short.value)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:9465", True),
        ("LOCALHOST", True),
        ("[::1]:9465", True),
        ("jobs.example:80", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
    ],
)
def test_only_names_of_its_own_are_answered(host: str, allowed: bool) -> None:
    assert access(console_hosts="jobs.example, other.example").allows_host(host) is allowed


def test_a_server_on_every_interface_has_any_name_until_its_names_are_given() -> None:
    assert access(console_address="0.0.0.0:1", console_token=TOKEN).allows_host("10.0.0.7:1")
    assert not access(console_address="0.0.0.0:1", console_token=TOKEN, console_hosts="a").allows_host("10.0.0.7:1")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [("http://localhost:1", True), ("https://jobs.example", True), ("http://localhost:2", False), ("null", False)],
)
def test_only_pages_of_its_own_may_ask(origin: str, allowed: bool) -> None:
    assert access(console_hosts="jobs.example").allows_origin(origin, "localhost:1") is allowed
