"""From what was polled into the batch: the one loop that every event passes, and so a module of its own to compile."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from jobstatus_consumer.core import Decoder
from jobstatus_consumer.kafka import Polled
from jobstatus_consumer.records import RawRecord
from jobstatus_consumer.stream.assignment import Partition
from jobstatus_consumer.stream.batch import BatchBuilder


def fill(
    builder: BatchBuilder, polled: deque[Polled], partitions: Mapping[int, Partition], decoder: Decoder, now: float
) -> Polled | None:
    """Decode the records in `polled` into the batch, until it is full or something else comes.

    Returns that, which is taken out of `polled`. Returns None if the batch is full or nothing is left. Where the
    decoder raises `SchemaPendingError`, the record is still the first in `polled`.
    """
    decode = decoder.decode
    while polled and builder.room > 0 and not builder.heavy:
        item = polled[0]
        partition = partitions.get(item.partition)
        if partition is not None:
            if not isinstance(item, RawRecord):
                return polled.popleft()
            builder.add(decode(item), partition.buffered, now)
            partition.buffered = item.offset + 1
        # otherwise it was revoked after the poll: its new owner reads it
        polled.popleft()
    return None
