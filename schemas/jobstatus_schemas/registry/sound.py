"""Whether an Avro schema of a stranger may be used for reading.

The reader of fastavro follows a schema without bounds. With a recursive one, a body of a few hundred kilobytes ends the
process by a stack overflow. With an array whose items take no bytes, a body of nine bytes has it loop for centuries.
Both were tried. With items of a boolean and 9,990 nulls, a body of a megabyte has it make 10,000,000,000 values. The
fields of a status event need none of these.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

MOST_PARTS: Final = 10_000
"""How many values one body may have beside the items of arrays and maps."""
MOST_PER_BYTE: Final = 100
"""How many values the items of an array or a map may have for each of their bytes."""
_PRIMITIVE_BYTES: Final = {
    "null": 0,
    "boolean": 1,
    "int": 1,
    "long": 1,
    "float": 4,
    "double": 8,
    "bytes": 1,
    "string": 1,
}


class UnsoundError(ValueError):
    """The schema is not used. The text says why."""


class _Size(NamedTuple):
    """What one value of a type has: its parts, its least number of bytes, and by how many values it exceeds its bytes.

    `excess` is the number of values less `MOST_PER_BYTE` for each byte, at most. The items of an array or a map are no
    part of its own excess: they have bytes of their own, for which they were checked.
    """

    parts: int
    least_bytes: int
    excess: int


def _one_value(least_bytes: int) -> _Size:
    return _Size(1, least_bytes, 1 - MOST_PER_BYTE * least_bytes)


def check_sound(schema: Any) -> None:
    """Raise `UnsoundError` if reading with `schema`, parsed JSON that fastavro accepts, might not end."""
    try:
        _Walk().size(schema, "")
    except RecursionError:
        raise UnsoundError("the schema is nested too deeply") from None


class _Walk:
    """Visits each part of a schema once. A named type counts wherever it is used."""

    def __init__(self) -> None:
        self._named: dict[str, _Size | None] = {}
        """None while the type is being visited"""

    def size(self, schema: Any, namespace: str) -> _Size:
        if isinstance(schema, list):
            found = [self.size(branch, namespace) for branch in schema] or [_Size(0, 0, 0)]
            # the branch's number takes a byte
            return _bounded(
                sum(each.parts for each in found),
                1 + min(each.least_bytes for each in found),
                max(each.excess for each in found) - MOST_PER_BYTE,
            )
        if isinstance(schema, str):
            return self._by_name(schema, namespace)
        kind = schema["type"]
        if kind in ("record", "error", "enum", "fixed"):
            return self._define(schema, kind, namespace)
        if kind in ("array", "map"):
            return self._items(schema, kind, namespace)
        return self.size(kind, namespace)

    def _by_name(self, name: str, namespace: str) -> _Size:
        if name in _PRIMITIVE_BYTES:
            return _one_value(_PRIMITIVE_BYTES[name])
        full = _full_name(name, namespace)
        known = self._named.get(full, self._named.get(name))
        if known is None:
            raise UnsoundError("the schema is recursive" if full in self._named else f"the schema has no type {name}")
        return known

    def _define(self, schema: Any, kind: str, namespace: str) -> _Size:
        own = schema.get("namespace", namespace)
        name = _full_name(schema["name"], own)
        self._named[name] = None
        if kind == "enum":
            found = _one_value(1)
        elif kind == "fixed":
            found = _one_value(schema["size"])
        else:
            inner = name.rpartition(".")[0]
            fields = [self.size(field["type"], inner) for field in schema["fields"]]
            found = _bounded(
                1 + sum(each.parts for each in fields),
                sum(each.least_bytes for each in fields),
                1 + sum(each.excess for each in fields),
            )
        self._named[name] = found
        return found

    def _items(self, schema: Any, kind: str, namespace: str) -> _Size:
        items = self.size(schema["values" if kind == "map" else "items"], namespace)
        key_bytes = 1 if kind == "map" else 0
        if not key_bytes + items.least_bytes:
            raise UnsoundError("the schema has an array whose items take no bytes")
        if items.excess > MOST_PER_BYTE * key_bytes:
            raise UnsoundError(f"the schema has items of more than {MOST_PER_BYTE} values for each byte")
        own = _one_value(1)
        return _bounded(own.parts + items.parts, own.least_bytes, own.excess)


def _bounded(parts: int, least_bytes: int, excess: int) -> _Size:
    if parts > MOST_PARTS:
        raise UnsoundError(f"the schema has more than {MOST_PARTS:,} parts")
    return _Size(parts, least_bytes, excess)


def _full_name(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"
