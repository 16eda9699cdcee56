"""A short form of the decoder's fuzzing; `make fuzz` runs the long one."""

from __future__ import annotations

from fuzz.oracle import check
from fuzz.payloads import payloads

CASES: dict[str, str] = {
    # found by fuzzing, kept for ever: payload in hex, and what must become of it
    # a time of more than 64 bits: the compiled reader wrapped it around, the pure one did not
    "c301c562b5179833b641403262326566326666623062663032383033353734666634373030623434653231106ac3b66220e2988300020002020210"
    "776f726b65722d37feffffffffff80808080808080808001": "malformed",
    # a length of more than 64 bits: the compiled reader wrapped it around to nought and read on
    f"c301c562b5179833b641{'80' * 60}00{'00' * 40}": "trailing_bytes",
}


def test_no_payload_crashes_the_decoder_and_both_readers_agree() -> None:
    seen = {check(value) for value in payloads(20_000, seed=20261122)}
    assert {"good", "malformed", "trailing_bytes", "unknown_schema", "not_avro_single_object"} <= seen


def test_what_was_found_before_stays_refused() -> None:
    for value, wanted in CASES.items():
        assert check(bytes.fromhex(value)) == wanted
