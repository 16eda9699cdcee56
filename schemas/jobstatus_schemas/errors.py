"""The error of a value that is no event."""

from __future__ import annotations

from typing import Final

REASONS: Final = ("no_value", "not_avro_single_object", "unknown_schema", "other_schema", "malformed", "trailing_bytes")
"""Every `UndecodableError.reason`: stable words, for counting."""


class UndecodableError(ValueError):
    """The value of a Kafka record is no event. `reason` is one of `REASONS`; the text holds no byte of the value."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
