"""The originals of dead letters that were too large for their topic, read from the events' topic while it has them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import TracebackType

from jobstatus_consumer.core import CutBytes, Letter
from jobstatus_consumer.errors import OffsetsLostError, StartError
from jobstatus_consumer.kafka import RangeReader
from jobstatus_consumer.records import RawRecord


class Originals:
    """Reads one original after the other. The reader is opened for the first one, and closed with this object."""

    def __init__(self, open_reader: Callable[[], RangeReader], stop: Callable[[], bool]) -> None:
        self._open = open_reader
        self._stop = stop
        self._reader: RangeReader | None = None

    def __enter__(self) -> Originals:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is not None:
            self._reader.__exit__(kind, error, trace)

    def whole(self, letter: Letter) -> Letter | None:
        """Return the letter with its whole original; None if the log no longer has it. Blocks; raises `BrokerError`."""
        raw = self._find(letter)
        if raw is None or not _is_original(letter, raw):
            return None
        original = letter.original._replace(key=raw.key, value=raw.value, headers=raw.headers)
        return letter._replace(original=original)

    def _find(self, letter: Letter) -> RawRecord | None:
        try:
            reader = self._reader = self._reader or self._open()
            return _read(reader, letter.original, self._stop)
        except (OffsetsLostError, StartError):
            # retention was faster, or the topic is gone
            return None


def _read(reader: RangeReader, original: RawRecord, stop: Callable[[], bool]) -> RawRecord | None:
    partition, offset = original.partition, original.offset
    if partition not in reader.partitions or not original.log_id.startswith(f"{reader.topic}/{reader.topic_id}/"):
        return None
    low, high = reader.watermarks()[partition]
    if not low <= offset < high:
        return None
    for chunk in reader.read([(partition, offset, offset + 1)], {partition: original.log_id}, stop):
        for raw in chunk:
            return raw
    return None


def _is_original(letter: Letter, raw: RawRecord) -> bool:
    """Whether the digest of the record at the original's position is the one that the letter names, if it names one."""
    cut = letter.original.value
    if not isinstance(cut, CutBytes) or not cut.sha256:
        return True
    found = raw.value or b""
    return cut.sha256 == (found.sha256 if isinstance(found, CutBytes) else hashlib.sha256(found).hexdigest())
