"""A record of the events' topic becomes an event, or is rejected with a stage and a reason."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from jobstatus_schemas import CODEC, Codec, Confluent, SingleObject, UndecodableError
from jobstatus_schemas.event import check_event
from jobstatus_schemas.framing.confluent import FIRST_BYTE, SchemaOf
from jobstatus_schemas.protocol import LATE_HEADER

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core.cut import LARGEST_KEPT, CutBytes
from jobstatus_consumer.records import Event, RawRecord, Rejected
from jobstatus_consumer.registry import asked_patiently

# what a named tuple's own constructor does, without the call of a function in Python
_make: Final = tuple.__new__


@dataclass(frozen=True, slots=True)
class Decoder:
    """Decodes records with `codec`; `statuses` are the allowed words, None allows every word. Threads may share it."""

    codec: Codec = CODEC
    statuses: Container[str] | None = None

    def decode(self, raw: RawRecord) -> Event | Rejected:
        """The event in `raw` where it keeps the contract and its key is its job's id; else why it is rejected.

        It raises nothing, whatever the record holds, but that a schema registry has not answered: see `decoder_of`.
        """
        # every record passes here; compiled, one unpacking is quicker than seven attributes
        _topic, _partition, offset, timestamp, key, value, headers, log_id = raw
        if type(value) is CutBytes:
            return _too_large(raw, value)
        try:
            content = check_event(self.codec.decode(value), self.statuses)
        except UndecodableError as error:
            return Rejected(raw, "decode", error.reason, str(error), type(error).__name__)
        except (ValueError, TypeError) as error:
            return Rejected(raw, "validate", "out_of_contract", str(error), type(error).__name__)
        if key is None or key != content.job_id.encode():
            detail = "the record's key is not the event's job_id, so its order among that job's events is not kept"
            return Rejected(raw, "validate", "key_is_not_job_id", detail)
        time = content.occurred_at
        if 0 <= timestamp < time // 1000:
            # the end of the millisecond of the append: the broker's clock says no more than that
            time = timestamp * 1000 + 999
        late = bool(headers) and any(name == LATE_HEADER for name, _ in headers)
        return _make(Event, (content, time, late, log_id, offset, raw))


def _too_large(raw: RawRecord, value: CutBytes) -> Rejected:
    if value.size is None:
        detail = "the Kafka client cannot decompress its batch within receive.message.max.bytes; nothing of it was read"
        return Rejected(raw, "decode", "not_decompressed", detail)
    return Rejected(raw, "decode", "too_large", f"{value.size} bytes; an event has far fewer than {LARGEST_KEPT}")


def decoder_of(settings: Settings, schema_of: SchemaOf | None = None) -> Decoder:
    """The decoder that a deployment with these settings uses: the live consumer's and every command's.

    `schema_of` finds the schemas of a registry. The default asks it and waits, within a limit; `decode` then raises
    `RegistryAwayError` if the registry gives no answer.
    """
    if settings.registry is None:
        return Decoder(CODEC, settings.statuses)
    confluent = Confluent(schema_of or asked_patiently(settings.registry))
    return Decoder(Codec(SingleObject(), {FIRST_BYTE: confluent}), settings.statuses)
