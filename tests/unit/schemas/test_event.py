"""What each field of an event may be: refused by name, or cleaned where refusing would hide an error."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobstatus_schemas import JobStatusEvent
from jobstatus_schemas.event import (
    MAX_ERROR_MESSAGE_BYTES,
    MAX_OCCURRED_AT,
    check_attempt,
    check_event,
    check_job_id,
    check_status,
    check_worker_id,
    clean_error_message,
)

EVENT = JobStatusEvent("0f4c5d8e-0000-4000-8000-000000000000", "job", "ok", None, None, None, 1_700_000_000_000_000)


@pytest.mark.parametrize(
    ("given_id", "key"),
    [
        ("job-17", "job-17"),
        (17, "17"),
        (-1, "-1"),
        (0, "0"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        ("j" * 512, "j" * 512),
        ("é" * 256, "é" * 256),
        (" ", " "),
    ],
)
def test_a_job_id_becomes_its_text(given_id: str | int | UUID, key: str) -> None:
    assert check_job_id(given_id) == key


@pytest.mark.parametrize("given_id", [None, True, False, 1.5, b"job", ["job"], object()])
def test_a_job_id_of_another_type_is_refused(given_id: object) -> None:
    with pytest.raises(TypeError, match=r"^job_id: wanted str, int or UUID"):
        check_job_id(given_id)


@pytest.mark.parametrize("job_id", [10**5000, -(10**5000)], ids=["above", "below"])
def test_a_number_of_thousands_of_digits_is_refused_with_what_is_allowed(job_id: int) -> None:
    """Python itself refuses to write so many digits."""
    with pytest.raises(ValueError, match=r"^job_id: too many digits; wanted 1 to 512 bytes of UTF-8$"):
        check_job_id(job_id)


BAD_TEXTS = ["", "a\x00b", "\ud800", "a\udfff"]


@pytest.mark.parametrize("text", [*BAD_TEXTS, "j" * 513, "é" * 257])
def test_a_job_id_that_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^job_id: "):
        check_job_id(text)


@pytest.mark.parametrize("text", [*BAD_TEXTS, "s" * 65, "é" * 33])
def test_a_status_that_is_no_word_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^status: "):
        check_status(text)


@pytest.mark.parametrize("text", [*BAD_TEXTS, "w" * 257])
def test_a_worker_id_that_is_no_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^worker_id: "):
        check_worker_id(text)


@pytest.mark.parametrize(
    ("check", "field"), [(check_status, "status"), (check_worker_id, "worker_id"), (check_attempt, "attempt")]
)
@pytest.mark.parametrize("value", [1.5, b"x", ["x"]])
def test_another_type_is_refused_by_the_fields_name(
    check: Callable[[object], object], field: str, value: object
) -> None:
    with pytest.raises(TypeError, match=f"^{field}: wanted "):
        check(value)


def test_what_is_refused_is_not_repeated_in_the_text() -> None:
    with pytest.raises(ValueError, match="job_id") as caught:
        check_job_id("secret\x00")
    assert "secret" not in str(caught.value)


def test_a_status_outside_the_allowed_words_is_refused_with_the_words() -> None:
    assert check_status("done", {"done", "failed"}) == "done"
    with pytest.raises(ValueError, match=r"^status: not one of the allowed words \(done, failed\)"):
        check_status("finished", {"failed", "done"})


@pytest.mark.parametrize("attempt", [0, 1, 2**31 - 1, None])
def test_an_attempt_is_a_count(attempt: int | None) -> None:
    assert check_attempt(attempt) == attempt


@pytest.mark.parametrize("attempt", [-1, 2**31])
def test_an_attempt_out_of_range_is_refused(attempt: int) -> None:
    with pytest.raises(ValueError, match=r"^attempt: wanted 0 to 2147483647"):
        check_attempt(attempt)


def test_true_is_no_attempt() -> None:
    with pytest.raises(TypeError, match=r"^attempt: wanted int or None, got bool"):
        check_attempt(True)


@pytest.mark.parametrize(
    ("message", "cleaned"),
    [
        (None, None),
        ("", ""),
        ("plain", "plain"),
        ("a\x00b", "a\\x00b"),
        ("\ud800x", "\\ud800x"),
        (ValueError("no"), "no"),
        (404, "404"),
        ("m" * MAX_ERROR_MESSAGE_BYTES, "m" * MAX_ERROR_MESSAGE_BYTES),
    ],
)
def test_an_error_message_is_made_storable(message: object, cleaned: str | None) -> None:
    assert clean_error_message(message) == cleaned


def test_an_error_message_of_900_kb_is_cut_with_a_mark() -> None:
    cleaned = clean_error_message("é" * 450_000)
    assert cleaned is not None
    assert len(cleaned.encode()) <= MAX_ERROR_MESSAGE_BYTES
    kept = cleaned.count("é")
    assert cleaned.endswith(f"[…cut by jobstatus, {450_000 - kept} more characters]")


def test_a_message_whose_str_raises_says_so() -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert clean_error_message(BrokenError()) == "<BrokenError whose str() raised RuntimeError>"


SHORT = st.text(alphabet=st.characters(), max_size=50)


@given(SHORT | st.builds(lambda text, times: text * times, SHORT, st.integers(300, 4000)))
def test_a_cleaned_message_is_storable_bounded_and_stays_as_it_is(message: str) -> None:
    cleaned = clean_error_message(message)
    assert cleaned is not None
    assert "\x00" not in cleaned
    assert len(cleaned.encode()) <= MAX_ERROR_MESSAGE_BYTES
    assert clean_error_message(cleaned) == cleaned


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"event_id": "not a uuid"}, "event_id"),
        ({"event_id": EVENT.event_id + "\n"}, "event_id"),
        ({"occurred_at": -1}, "occurred_at"),
        ({"occurred_at": MAX_OCCURRED_AT}, "occurred_at"),
        ({"job_id": "a\x00"}, "job_id"),
        ({"status": "s" * 65}, "status"),
        ({"attempt": -1}, "attempt"),
        ({"worker_id": ""}, "worker_id"),
    ],
)
def test_a_decoded_event_is_held_to_the_contract(change: dict[str, object], field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        check_event(EVENT._replace(**change))  # type: ignore[arg-type]


def test_a_decoded_event_within_the_contract_is_itself() -> None:
    assert check_event(EVENT) is EVENT
    assert check_event(EVENT._replace(error_message="x")).error_message == "x"


def test_another_producers_message_is_cleaned() -> None:
    assert check_event(EVENT._replace(error_message="a\x00")).error_message == "a\\x00"
