"""Records that other clients write and that ours cannot: header names of any bytes, and compression of any kind."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import confluent_kafka
from confluent_kafka import KafkaError, Producer

UNREADABLE: Final = b"x-\xff\xfe"
"""A header name that is not UTF-8."""
COPY: Final = 2
"""librdkafka's flag by which it copies the value."""
FLUSH_MS: Final = 60_000

_Bytes = ctypes.c_char_p
_Pointer = ctypes.c_void_p


@cache
def _librdkafka() -> ctypes.CDLL:
    folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    library = ctypes.CDLL(str(next(folder.glob("librdkafka*.so*"))))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_headers_new"):
        getattr(library, name).restype = _Pointer
    library.rd_kafka_conf_set.argtypes = [_Pointer, _Bytes, _Bytes, _Bytes, ctypes.c_size_t]
    library.rd_kafka_new.argtypes = [ctypes.c_int, _Pointer, _Bytes, ctypes.c_size_t]
    library.rd_kafka_headers_new.argtypes = [ctypes.c_size_t]
    library.rd_kafka_header_add.argtypes = [_Pointer, _Bytes, ctypes.c_ssize_t, _Bytes, ctypes.c_ssize_t]
    library.rd_kafka_flush.argtypes = [_Pointer, ctypes.c_int]
    library.rd_kafka_destroy.argtypes = [_Pointer]
    return library


class ForeignClient:
    """librdkafka as another language uses it: header names may be any bytes."""

    def __init__(self, bootstrap: str) -> None:
        library, error = _librdkafka(), ctypes.create_string_buffer(512)
        conf = library.rd_kafka_conf_new()
        properties = {"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "enable.idempotence": "true"}
        for name, value in {**properties, "log_level": "0"}.items():
            library.rd_kafka_conf_set(conf, name.encode(), value.encode(), error, 512)
        self._client = library.rd_kafka_new(0, conf, error, 512)
        assert self._client, error.value

    def send(self, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Hand over one record; `close` waits for it."""
        library = _librdkafka()
        assert library.rd_kafka_producev(*_record(library, self._client, topic, key, value, headers)) == 0

    def close(self) -> bool:
        """Wait for what was handed over, and end the client; False if something was not delivered."""
        library = _librdkafka()
        left = library.rd_kafka_flush(self._client, FLUSH_MS)
        library.rd_kafka_destroy(self._client)
        return bool(left == 0)


def produce_with_headers(
    bootstrap: str, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[bytes, bytes]]
) -> None:
    """Put one record on the topic whose header names may be any bytes, and wait for the acknowledgement."""
    client = ForeignClient(bootstrap)
    client.send(topic, key, value, headers)
    assert client.close()


def _record(
    library: ctypes.CDLL,
    client: int,
    topic: str,
    key: bytes,
    value: bytes,
    headers: Sequence[tuple[bytes, bytes]],
) -> list[Any]:
    """The arguments of `rd_kafka_producev`: each is a number that names it, and what it names."""
    listed = library.rd_kafka_headers_new(len(headers))
    for name, text in headers:
        library.rd_kafka_header_add(listed, name, len(name), text, len(text))
    number, size = ctypes.c_int, ctypes.c_size_t
    return [
        *(_Pointer(client), number(1), _Bytes(topic.encode())),
        *(number(4), _Bytes(value), size(len(value)), number(5), _Bytes(key), size(len(key))),
        *(number(7), number(COPY), number(10), _Pointer(listed), number(0)),
    ]


def produce_compressed(bootstrap: str, topic: str, records: Sequence[tuple[bytes, bytes]], codec: str = "gzip") -> None:
    """Put records (key, value) on the topic, each in a batch of its own, compressed, and wait for each."""
    producer = _compressing(bootstrap, codec)
    for key, value in records:
        refused = _delivered(producer, topic, key, value)
        assert refused is None, refused


def refused_when_compressed(bootstrap: str, topic: str, key: bytes, value: bytes, codec: str = "gzip") -> int | None:
    """Send one compressed record; return the code with which the broker refuses it, or None."""
    refused = _delivered(_compressing(bootstrap, codec), topic, key, value)
    return None if refused is None else refused.code()


def _compressing(bootstrap: str, codec: str) -> Producer:
    properties = {"bootstrap.servers": bootstrap, "message.max.bytes": 1_000_000_000, "compression.type": codec}
    return Producer({**properties, "partitioner": "murmur2_random", "message.copy.max.bytes": 0})


def _delivered(producer: Producer, topic: str, key: bytes, value: bytes) -> KafkaError | None:
    ended: list[KafkaError | None] = []
    producer.produce(topic, key=key, value=value, on_delivery=lambda error, _: ended.append(error))
    assert producer.flush(120) == 0
    return ended[0]
