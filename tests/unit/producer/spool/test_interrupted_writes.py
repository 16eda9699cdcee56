"""A signal's handler raises anywhere in a call that writes: the spool knows what it holds, and removes none of it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType

import pytest
from jobstatus_producer.spool import database
from jobstatus_producer.spool import file as spool_file
from jobstatus_producer.spool import folder as spool_folder
from jobstatus_producer.spool.file import SpoolFile
from jobstatus_producer.spool.rows import size_of
from support.spools import TOPIC, entry, in_the_file, observed

PLACES = {spool_file.__file__, database.__file__, contextlib.__file__}


class Interrupted(BaseException):
    """What the handler raises."""


@contextlib.contextmanager
def interrupting(place: int, handler: Callable[[], object] | None = None) -> Iterator[list[int]]:
    """At the `place`-th place in the spool's code where Python handles signals, `handler` is called, and it raises."""
    left = [place]

    def signal_comes(code: CodeType) -> None:
        if code.co_filename not in PLACES:
            return
        left[0] -= 1
        if not left[0]:
            sys.setprofile(None)
            if handler is not None:
                handler()
            raise Interrupted

    with observed(signal_comes):
        yield left


WRITES: dict[str, Callable[[SpoolFile, int], None]] = {
    "add one": lambda file, seq: file.add([entry(seq + 5)]),
    "add more": lambda file, seq: file.add([entry(seq + 5), entry(seq + 6)]),
    "add again": lambda file, seq: file.add([entry(seq), entry(seq + 5)]),
    "remove": lambda file, seq: file.remove([entry(seq)]),
    "refuse": lambda file, seq: file.refuse(entry(seq), "too large"),
    "adopt": lambda file, seq: file.adopt([entry(seq, job_id="another"), entry(seq + 5)]),
}


@pytest.mark.parametrize("looks", [False, True], ids=["raises", "counts and raises"])
@pytest.mark.parametrize("write", WRITES)
def test_after_a_write_that_was_interrupted_anywhere_the_spool_is_whole(
    tmp_path: Path, write: str, looks: bool
) -> None:
    file = spool_folder.open_own(tmp_path, topic=TOPIC, durable=False)
    place = 0
    while True:
        place += 1
        seq = 100 * place
        file.add([entry(seq), entry(seq + 1)])
        with contextlib.suppress(Interrupted), interrupting(place, (lambda: len(file)) if looks else None) as left:
            WRITES[write](file, seq)
        file.add([entry(seq + 50)])
        rows = in_the_file(file.path)
        assert {seq + 1, seq + 50} <= set(rows), "what was accepted is there, and not only for this connection"
        waiting = file.first(10)
        assert (len(file), file.totals().bytes) == (len(waiting), sum(map(size_of, waiting))), place
        if left[0] > 0:
            break
        file.remove(waiting)
        assert (len(file), in_the_file(file.path)) == (0, []), place
    assert place > 10
    file.close()
    assert len(in_the_file(file.path)) == len(waiting)


def test_a_handler_that_writes_in_the_middle_of_a_write_keeps_what_it_wrote(tmp_path: Path) -> None:
    file = spool_folder.open_own(tmp_path, topic=TOPIC, durable=False)
    place = 0
    while True:
        place += 1
        seq = 100 * place
        with contextlib.suppress(Interrupted), interrupting(place, lambda: file.add([entry(seq + 7)])) as left:  # noqa: B023
            file.add([entry(seq), entry(seq + 1)])
        if left[0] > 0:
            break
        assert seq + 7 in in_the_file(file.path), place
        assert len(file) == len(in_the_file(file.path)), place
    file.close()
    assert place > 10
