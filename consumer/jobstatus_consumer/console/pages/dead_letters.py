"""Dead letters by cause, and one of them with what it holds."""

from __future__ import annotations

from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from jobstatus_consumer.console.context import Context, context_of
from jobstatus_consumer.console.rendering import as_json, iso, render
from jobstatus_consumer.core import CutBytes, Letter, decoder_of, letter_of
from jobstatus_consumer.errors import JobStatusError
from jobstatus_consumer.kafka import RangeReader
from jobstatus_consumer.operations import JudgedLetter, LetterSelection, judge
from jobstatus_consumer.records import Event

ANSWER_SECONDS: Final = 1.8
MOST_DIGITS: Final = 18
VALUE_BYTES: Final = 4096
"""Bytes of a value that are shown."""


async def page(request: Request) -> Response:
    """`GET /dead-letters`."""
    return render(request, "dead_letters.html", title="Dead letters", seen=context_of(request).live.letters.seen)


async def api(request: Request) -> Response:
    """`GET /api/dead-letters`."""
    seen = context_of(request).live.letters.seen
    if seen.value is None:
        raise HTTPException(503, str(seen.problem or "the dead letters are being read; ask again in a moment"))
    groups = [group.as_dict() for _, group in sorted(seen.value.overview.groups.items())]
    return as_json(
        {"read_at": iso(seen.at), "complete": seen.value.complete, "open": seen.value.open, "causes": groups}
    )


async def one(request: Request) -> Response:
    """`GET /dead-letters/{partition}/{offset}`: by the letter's own place in its topic."""
    context = context_of(request)
    partition, offset = (_number(request.path_params[name]) for name in ("partition", "offset"))
    try:
        item = await context.questions.ask(lambda: _read(context, partition, offset), ANSWER_SECONDS)
    except JobStatusError as error:
        raise HTTPException(503, str(error)) from None
    if item is None:
        raise HTTPException(404, f"there is no dead letter of jobstatus at {partition}:{offset}")
    event = item.found.as_dict() if isinstance(item.found, Event) else None
    return render(
        request,
        "dead_letter.html",
        title=f"Dead letter {partition}:{offset}",
        item=item,
        facts=_facts(item.letter),
        rejected=None if event is not None else item.found,
        event=event if context.options.show_values else None,
        value=_hex(item.letter) if context.options.show_values else None,
    )


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > MOST_DIGITS:
        raise HTTPException(404, "wanted the partition and the offset of a dead letter")
    return int(text)


def _read(context: Context, partition: int, offset: int) -> JudgedLetter | None:
    letter = context.sources.letters.use(lambda reader: _letter_at(reader, partition, offset))
    if letter is None:
        return None
    settings = context.settings
    own = LetterSelection(settings.topic, group=settings.group_id, table=settings.table)
    return context.sources.tables.use(lambda table: judge([letter], table, decoder_of(settings), own)[0])


def _letter_at(reader: RangeReader, partition: int, offset: int) -> Letter | None:
    marks = reader.watermarks().get(partition)
    if marks is None or not marks.low <= offset < marks.high:
        return None
    found = [
        letter_of(raw)
        for chunk in reader.read([(partition, offset, offset + 1)], {partition: ""}, lambda: False)
        for raw in chunk
    ]
    return found[0] if found else None


def _facts(letter: Letter) -> dict[str, Any]:
    """What the letter says of itself; nothing of it is a value of the row."""
    facts = {
        "From": f"{letter.original.topic} at {letter.position}",
        "Stage": letter.stage,
        "Reason": letter.reason,
        "Detail": letter.detail,
        "Named by the database": letter.where,
        "SQLSTATE": letter.sqlstate,
        "Error": letter.error_class,
        "First seen": letter.first_seen,
        "Consumer group": letter.group,
        "Table": letter.table,
        "Written by version": letter.version,
        "Not whole": letter.cut,
    }
    return {name: value for name, value in facts.items() if value}


def _hex(letter: Letter) -> str:
    value = letter.original.value
    if value is None or isinstance(value, CutBytes):
        return ""
    text = value[:VALUE_BYTES].hex(" ")
    return text if len(value) <= VALUE_BYTES else f"{text} … {len(value):,} bytes in all"
