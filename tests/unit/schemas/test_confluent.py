"""Confluent's framing, and which schemas of strangers are read with."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jobstatus_schemas import (
    CODEC,
    Codec,
    Confluent,
    JobStatusEvent,
    SingleObject,
    UndecodableError,
    plain_schema_text,
    schema_text,
)
from jobstatus_schemas.framing.confluent import FIRST_BYTE
from jobstatus_schemas.registry.errors import NotFoundError, RefusedError, UnavailableError
from jobstatus_schemas.registry.schemas import UNKNOWN_SECONDS, Schemas
from jobstatus_schemas.registry.settings import RegistrySettings
from jobstatus_schemas.registry.sound import MOST_PARTS
from jobstatus_schemas.registry.writers import writer_schema
from jobstatus_schemas.schema import Schema, newest_schema
from support.confluent import CAUSE, NULLS, TEAM, changed, framed, framed_with, header

EVENT = JobStatusEvent("0f4c5d8e-0000-4000-8000-000000000000", "job", "ok", "why", 3, "w", 1_700_000_000_000_000)


def reason(codec: Codec, value: bytes) -> tuple[str, str]:
    with pytest.raises(UndecodableError) as caught:
        codec.decode(value)
    return caught.value.reason, str(caught.value)


def refused(schema: object) -> str:
    with pytest.raises(UndecodableError) as caught:
        writer_schema(7, schema if isinstance(schema, str) else json.dumps(schema))
    assert caught.value.reason == "other_schema"
    return str(caught.value)


def test_without_a_registry_the_id_and_the_setting_are_named() -> None:
    text = "Confluent framing, schema id 7; it is read if JOBSTATUS_SCHEMA_REGISTRY_URL is set"
    assert reason(CODEC, framed(7, EVENT)) == ("not_avro_single_object", text)


def test_a_codec_with_both_framings_reads_both_and_asks_once_for_each_id() -> None:
    asked: list[int] = []

    def schema_of(schema_id: int) -> Schema:
        asked.append(schema_id)
        return writer_schema(schema_id, {1: schema_text(), 2: changed(more=(TEAM,))}[schema_id])

    codec = Codec(SingleObject(), {FIRST_BYTE: Confluent(schema_of)})
    for _ in range(3):
        assert codec.decode(CODEC.encode(EVENT)) == EVENT
        assert codec.decode(framed(1, EVENT)) == EVENT
        assert codec.decode(framed_with(2, changed(more=(TEAM,)), {**EVENT._asdict(), "team": "a"})) == EVENT
    assert asked == [1, 2]
    unusual = EVENT._replace(attempt=2**31 - 1, error_message="x" * 10_000)
    assert codec.decode(framed(1, unusual)) == unusual
    assert codec.encode(EVENT) == CODEC.encode(EVENT)


@pytest.mark.parametrize("value", [FIRST_BYTE, b"\x00\x01", b"\x00\x00\x00\x01"])
def test_a_header_that_is_cut_is_malformed(value: bytes) -> None:
    for codec in (CODEC, Codec(SingleObject(), {FIRST_BYTE: Confluent(lambda _: newest_schema())})):
        assert reason(codec, value)[0] == "malformed"


def test_an_id_that_no_registry_gives_is_not_asked_for() -> None:
    assert reason(CODEC, b"\x00\x80\x00\x00\x00body") == (
        "unknown_schema",
        "Confluent framing, schema id 2147483648; no registry has an id over 2147483647",
    )


def test_our_own_schema_is_the_same_object_whoever_has_registered_it() -> None:
    annotated: dict[str, Any] = json.loads(schema_text())
    annotated["fields"][1]["type"] = {"type": "string", "avro.java.string": "String"}
    for text in (schema_text(), plain_schema_text(), json.dumps(annotated)):
        assert writer_schema(7, text) is newest_schema()
    assert writer_schema(7, changed(more=(TEAM,))) is not newest_schema()


def test_a_schema_that_could_end_the_process_is_refused() -> None:
    assert refused(changed(more=(CAUSE,))) == "schema id 7 is not used: the schema is recursive"
    assert refused(changed(more=(NULLS,))).endswith("an array whose items take no bytes")
    empty = {"type": "array", "items": {"type": "record", "name": "Empty", "fields": []}}
    assert refused(empty).endswith("an array whose items take no bytes")
    fields: Any = {"type": "record", "name": "R0", "fields": []}
    for level in range(1, 12):
        named = [{"name": f"a{number}", "type": f"R{level - 1}"} for number in range(1, 10)]
        fields = {"type": "record", "name": f"R{level}", "fields": [{"name": "a0", "type": fields}, *named]}
    assert refused(fields).endswith(f"more than {MOST_PARTS:,} parts")


def record(name: str, *types: object) -> dict[str, Any]:
    fields = [{"name": f"{name}_{number}", "type": kind} for number, kind in enumerate(types)]
    return {"type": "record", "name": name, "fields": fields}


@pytest.mark.parametrize("kind", ["items", "values"])
def test_items_with_many_values_for_each_byte_are_refused(kind: str) -> None:
    def many(items: object) -> dict[str, object]:
        return {"type": "array" if kind == "items" else "map", kind: items}

    few_bytes = record("Few", "boolean", *["null"] * 9_000)
    for items in (few_bytes, ["null", few_bytes], record("Around", "int", few_bytes)):
        assert refused(many(items)).endswith("items of more than 100 values for each byte")
    assert refused(record("Outer", many(many(few_bytes)))).endswith("for each byte")
    nullable = record("Wide", *[["null", "string"]] * 500)
    for items in (nullable, ["null", nullable], many(nullable), record("Holds", many(["null", nullable]))):
        assert writer_schema(7, json.dumps(many(items))) is not newest_schema()


@pytest.mark.parametrize("text", ["", "{", "3", "null", '{"type": "recrd"}', '"com.acme.Unknown"', "[" * 5000])
def test_what_is_no_avro_schema_is_refused(text: str) -> None:
    assert refused(text).startswith("schema id 7 is no")


def test_a_schema_of_another_kind_is_refused() -> None:
    with pytest.raises(UndecodableError, match="schema id 7 is a schema of the kind PROTOBUF; wanted Avro"):
        writer_schema(7, 'syntax = "proto3";', "PROTOBUF")


def test_named_types_maps_and_enums_are_sound() -> None:
    more: tuple[dict[str, Any], ...] = (
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["a"]}},
        {"name": "again", "type": "jobstatus.Kind"},
        {"name": "short", "type": "Kind"},
        {"name": "labels", "type": {"type": "map", "values": "null"}},
        {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 2}},
        {"name": "many", "type": {"type": "array", "items": ["null", "Hash"]}},
    )
    values = {"kind": "a", "again": "a", "short": "a", "labels": {"x": None}, "hash": b"ab", "many": [None, b"cd"]}
    text = changed(more=more)
    codec = Codec(SingleObject(), {FIRST_BYTE: Confluent(lambda number: writer_schema(number, text))})
    assert codec.decode(framed_with(3, text, {**EVENT._asdict(), **values})) == EVENT


class Answers:
    """A registry's client that gives one answer after the other."""

    def __init__(self, *answers: Any) -> None:
        self.left = list(answers)

    def schema(self, _schema_id: int) -> Any:
        answer = self.left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_what_the_registry_does_not_know_is_asked_again_and_what_it_knows_is_not() -> None:
    now = [0.0]
    from jobstatus_schemas.registry.client import Registered

    client: Any = Answers(NotFoundError("no"), Registered(3, schema_text(), "AVRO"), RefusedError("no"))
    schemas = Schemas(client, clock=lambda: now[0])
    for ask in (schemas.ask, schemas.ask, schemas.known):
        with pytest.raises(UndecodableError, match="schema id 3, which the schema registry does not know"):
            ask(3)
    assert len(client.left) == 2, "one question was enough"
    now[0] += UNKNOWN_SECONDS
    assert schemas.known(3) is None
    assert schemas.ask(3) is schemas.ask(3) is schemas.known(3) is newest_schema()
    with pytest.raises(UnavailableError):
        schemas.ask(4)
    assert client.left == []


def test_a_schema_that_is_no_use_is_remembered_as_such() -> None:
    from jobstatus_schemas.registry.client import Registered

    client: Any = Answers(Registered(3, changed(more=(CAUSE,)), "AVRO"))
    schemas = Schemas(client)
    for ask in (schemas.ask, schemas.ask, schemas.known):
        with pytest.raises(UndecodableError, match="schema id 3 is not used: the schema is recursive"):
            ask(3)


def test_after_a_wait_in_vain_the_next_one_is_told_at_once() -> None:
    now = [0.0]
    client: Any = Answers(*[UnavailableError("it is down")] * 2, NotFoundError("no"))
    schemas = Schemas(client, clock=lambda: now[0])

    def answer(schema_id: int) -> Any:
        now[0] += 9.0
        return Answers.schema(client, schema_id)

    client.schema = answer
    with pytest.raises(UnavailableError, match="it is down"):
        schemas.ask_patiently(3)
    left = len(client.left)
    with pytest.raises(UnavailableError, match="it is down"):
        schemas.ask_patiently(4)
    assert len(client.left) == left, "nobody was asked"


def test_the_settings_of_a_registry_are_checked_by_name(tmp_path: Any) -> None:
    secret = tmp_path / "login"
    secret.write_text("user:pass word\n")
    prefix = "JOBSTATUS_SCHEMA_REGISTRY_"
    url = {f"{prefix}URL": "https://one:1/x/, http://two:2"}
    found = RegistrySettings.from_env({**url, f"{prefix}USER_INFO_FILE": str(secret)})
    assert found is not None
    assert found.urls == ["https://one:1/x", "http://two:2"]
    assert found.secret("user_info") == "user:pass word"
    assert "pass word" not in repr(found)
    assert RegistrySettings.from_env({}) is None
    for variables, wanted in (
        ({f"{prefix}URL": "one:1"}, "URL: wanted http"),
        ({f"{prefix}URL": "http://user:secret@one:1"}, "URL: holds a login; set JOBSTATUS_SCHEMA_REGISTRY_USER_INFO"),
        ({f"{prefix}TOKEN": "x"}, "TOKEN is set, and JOBSTATUS_SCHEMA_REGISTRY_URL is not"),
        ({**url, f"{prefix}TOKEN": "x", f"{prefix}USER_INFO": "a:b"}, "are both set; set one of them"),
        ({**url, f"{prefix}TOKEN": "x", f"{prefix}TOKEN_FILE": "x"}, "are both set; set one of them"),
        ({**url, f"{prefix}USER_INFO": "secret"}, "USER_INFO: wanted user:password"),
        ({**url, f"{prefix}SSL_CA_LOCATION": "/no/such"}, "SSL_CA_LOCATION: there is no file /no/such"),
        ({**url, f"{prefix}SSL_KEY_LOCATION": str(secret)}, "needs JOBSTATUS_SCHEMA_REGISTRY_SSL_CERTIFICATE_LOCATION"),
        ({**url, f"{prefix}TOKEN_FILE": "/no/such"}, "the file /no/such cannot be read"),
    ):
        with pytest.raises(ValueError, match=wanted) as caught:
            RegistrySettings.from_env(variables)
        assert "secret" not in str(caught.value)


def test_the_header_of_an_id_is_a_zero_and_four_bytes() -> None:
    assert header(7) == b"\x00\x00\x00\x00\x07"
