"""Each check of the checker finds what it is there for, and nothing where all is well. No servers."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import islice

import pytest
from jobstatus_consumer.core.dead_letters import dead_letter
from jobstatus_consumer.records import Log, RawRecord, Rejected
from jobstatus_schemas import JobStatusEvent, encode
from law.model import Row
from support.deployment import made_events

from chaos import findings as promises
from chaos.application import NOTHING, Shown, check_rows, check_waiting
from chaos.checks import LetterWatch, RowWatch, Seen, check_committed, check_journal, check_letters, check_table
from chaos.cut_log import CutLog
from chaos.ends import Ended, check_ends
from chaos.faults import FAULTS
from chaos.findings import Findings
from chaos.history import Due, History
from chaos.letters import Letters
from chaos.poison import CHECK_OF_A_SHARED_JOB, KINDS, poisoned, reason_of
from chaos.samples import Moment, Timeline
from chaos.schedule import steps
from chaos.strangers import STRANGER

LOG = Log("events", "AAAAAAAAAAAAAAAAAAAAAA", 0)
GOOD = made_events(20, 4)


def raw(event: JobStatusEvent, offset: int) -> RawRecord:
    return RawRecord("events", 0, offset, event.occurred_at // 1000, event.job_id.encode(), encode(event), (), LOG.id)


def bad(kind: str, offset: int) -> RawRecord:
    key, value, headers = poisoned(kind, GOOD[0], random.Random(offset))
    return RawRecord("events", 0, offset, 1, key, value, headers, LOG.id)


def letter_of(original: RawRecord, reason: str) -> RawRecord:
    said = dead_letter(Rejected(original, "decode", reason, ""), "group", 0.0)
    return RawRecord("events.dlq", 0, 0, said.timestamp, said.key, said.value, said.headers, "")


def history_of(records: list[RawRecord], upto: int = 1 << 62) -> History:
    found = History()
    found.take(records)
    found.advance({0: upto})
    return found


def letters_of(*records: RawRecord) -> Letters:
    found = Letters(LOG.topic_id)
    found.take(records)
    return found


def test_a_right_table_has_no_findings_and_a_wrong_one_each_by_its_name() -> None:
    expected = history_of([raw(event, number) for number, event in enumerate(GOOD)]).table
    found = Findings()
    check_table(expected, dict(expected), found)
    assert not len(found)

    first, second, *rest = sorted(expected)
    wrong = {job: expected[job] for job in rest}
    wrong[second] = replace(expected[second], status="another")
    wrong["nobody's"] = expected[first]
    check_table(expected, wrong, found)
    assert found.counts == {promises.MISSING_ROW: 1, promises.DIFFERENT_ROW: 1, promises.UNKNOWN_ROW: 1}


SEEN = Seen("job", "log", 7, 100, "event-7")


@pytest.mark.parametrize(
    ("after", "wrong"),
    [
        (SEEN, False),
        (SEEN._replace(offset=8, event_id="event-8"), False),
        (SEEN._replace(offset=8, latest=101), False),
        (SEEN._replace(offset=6), True),
        (SEEN._replace(offset=8, latest=99), True),
        (SEEN._replace(event_id="event-8"), True),
        (SEEN._replace(log_id="another", offset=8), True),
        (None, True),
    ],
)
def test_a_row_that_goes_back_is_seen(after: Seen | None, wrong: bool) -> None:
    found = Findings()
    watch = RowWatch(found)
    watch.saw([SEEN])
    watch.saw([after] if after else [])
    assert found.counts == ({promises.WENT_BACK: 1} if wrong else {})


def test_a_commit_past_an_unwritten_event_or_an_unsent_letter_is_seen() -> None:
    history = History()
    history.take([raw(GOOD[0], 0), raw(GOOD[1], 1), bad("tombstone", 2), raw(GOOD[2], 3)])
    due, passed = history.advance({0: 3})
    assert {item.offset for item in due} <= {0, 1}
    assert passed == [(0, 2)]
    written = {item.job_id: item.offset for item in due}

    found = Findings()
    check_committed(due, written, found)
    check_committed(due, {item.job_id: item.offset + 5 for item in due}, found)
    assert not len(found)
    check_committed(due, {}, found)
    assert found.counts == {promises.COMMIT_PAST_WRITE: len(due)}

    watch = LetterWatch(found, grace=5.0)
    sent = letters_of(letter_of(history.poison[0, 2].raw, "no_value"))
    watch.passed(passed, history, sent, 0.0)
    watch.passed([], history, letters_of(), 9.0)
    watch.passed(passed, history, letters_of(), 10.0)
    watch.passed([], history, letters_of(), 14.0)
    assert found.counts[promises.COMMIT_PAST_LETTER] == 0
    watch.passed([], history, letters_of(), 15.0)
    assert found.counts[promises.COMMIT_PAST_LETTER] == 1


def test_a_missing_a_causeless_and_an_altered_letter_are_seen() -> None:
    history = history_of([bad("tombstone", 0), bad("cut short", 1), raw(GOOD[0], 2), bad("no key", 3)])
    original = history.poison[0, 1].raw
    found = Findings()
    letters = letters_of(
        letter_of(original._replace(value=b"another"), "malformed"),
        letter_of(raw(GOOD[0], 2), "malformed"),
        letter_of(history.poison[0, 3].raw, "malformed"),
    )
    check_letters(history, letters, found)
    assert found.counts == {
        promises.LETTER_MISSING: 1,
        promises.LETTER_WITHOUT_CAUSE: 1,
        promises.LETTER_ALTERED: 2,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_poison_with_its_letter_is_well(kind: str) -> None:
    history = history_of([bad(kind, 0)])
    found = Findings()
    check_letters(history, letters_of(letter_of(history.poison[0, 0].raw, reason_of(kind))), found)
    assert not len(found)
    check_letters(history, letters_of(), found)
    assert found.counts == {promises.LETTER_MISSING: 1}


@pytest.mark.parametrize(("distance", "needed"), [(1, False), (49, False), (50, True)])
def test_a_refused_row_that_its_own_batch_may_have_superseded_needs_no_letter(distance: int, needed: bool) -> None:
    history = history_of([bad(CHECK_OF_A_SHARED_JOB, 0), raw(GOOD[0], distance)])
    assert history.needs_letter((0, 0)) == needed


def test_an_acknowledged_event_that_the_topic_lacks_is_seen() -> None:
    history = history_of([raw(GOOD[0], 0)])
    found = Findings()
    check_journal({GOOD[0].event_id: "worker"}, history, found)
    assert not len(found)
    check_journal({GOOD[1].event_id: "worker"}, history, found)
    assert found.counts == {promises.LOST_BY_THE_LOG: 1}


def test_what_is_due_is_the_row_that_the_model_has_at_that_offset() -> None:
    first, second = (event._replace(job_id="one") for event in GOOD[:2])
    history = History()
    history.take([raw(first, 0), raw(second, 1)])
    assert history.advance({0: 1})[0] == [Due("one", 0)]
    assert history.advance({0: 1})[0] == []
    assert history.advance({0: 2})[0] == [Due("one", 1)]


def test_writes_went_on_when_all_that_was_in_the_log_is_written() -> None:
    log = [Moment(1.0, {0: 5, 1: 0}), Moment(2.0, {0: 6, 1: 3}), Moment(9.0, {0: 99, 1: 3})]
    table = [Moment(1.5, {0: 5}), Moment(2.5, {0: 6, 1: 2}), Moment(4.0, {0: 6, 1: 3})]
    line = Timeline(log, table)
    assert line.went_on(0.5) == 1.0
    assert line.went_on(1.5) == 2.5
    assert line.went_on(3.0) is None
    assert line.went_on(10.0) is None


def test_a_schedule_is_the_seeds_own_and_has_every_fault_before_any_comes_again() -> None:
    kinds = {name: fault.what for name, fault in FAULTS.items()}
    once = list(islice(steps(1, kinds), 200))
    assert once == list(islice(steps(1, kinds), 200))
    assert once != list(islice(steps(2, kinds), 200))
    names = [name for step in once for name in step]
    assert set(names[: len(kinds)]) == kinds.keys()
    pairs = [step for step in once if len(step) == 2]
    assert pairs
    assert all(kinds[first] != kinds[second] for first, second in pairs)


def test_an_end_that_loses_promised_events_without_a_line_is_seen() -> None:
    ids = [event.event_id for event in GOOD[:4]]
    journal = "".join(f"+{event_id}\n" for event_id in ids[:3]) + f"?{ids[3]}\n+{ids[0][:9]}"
    named = "what is neither delivered nor spooled is lost with it: 1 event ('job' done); why: no answer\n"
    silent, half = Ended("silent", journal, ""), Ended("half", journal, named)
    found = Findings()
    check_ends([silent, half], ids[:3], found)
    check_ends([half], ids[:2], found)
    assert not len(found)
    check_ends([silent], ids[:2], found)
    check_ends([half], ids[:1], found)
    assert found.counts == {promises.ENDED_SILENTLY: 2}


def test_a_cut_excuses_its_own_events_and_no_others() -> None:
    first = {event.job_id: event for event in [item._replace(job_id=f"job-{n}") for n, item in enumerate(GOOD[:4])]}
    again = GOOD[5]._replace(job_id="job-3")
    log = CutLog(first, ["job-2", "job-3"], {"job-3": again})
    assert log.kept == {GOOD[0].event_id, GOOD[1].event_id, again.event_id}
    assert log.rows == {**{job: event.event_id for job, event in first.items()}, "job-3": again.event_id}
    assert log.to_name == {"job-2"}


def test_what_other_programs_write_among_the_dead_letters_is_no_letter() -> None:
    stranger = RawRecord("events.dlq", 0, 0, 1, None, None, ((STRANGER, b"1"),), "")
    assert not letters_of(stranger).read


RUNNING = Row(status="processing", error_message="slow", attempt=2, worker_id="w")
RIGHT = Shown("running", "slow", 2, "w")


@pytest.mark.parametrize(
    ("shown", "cancelled", "made_again", "found"),
    [
        (RIGHT, {}, [], False),
        (RIGHT._replace(attempt=1), {}, [], True),
        (NOTHING, {}, [], True),
        (NOTHING, {}, ["a"], False),
        (RIGHT._replace(state="cancelled"), {"a": RIGHT._replace(state="cancelled")}, [], False),
        (RIGHT._replace(state="cancelled"), {"a": Shown("cancelled")}, [], True),
        (Shown("cancelled"), {}, [], True),
    ],
)
def test_a_row_shows_its_state_or_what_it_was_cancelled_with(
    shown: Shown, cancelled: dict[str, Shown], made_again: list[str], found: bool
) -> None:
    findings = Findings()
    check_rows({"a": RUNNING}, {"a": shown, "of no state": NOTHING}, cancelled, made_again, findings)
    assert (promises.TARGET_DIFFERS in findings.counts) == found


def test_exactly_the_jobs_without_a_row_wait() -> None:
    findings = Findings()
    check_waiting({"a": RUNNING, "b": RUNNING, "d": RUNNING}, {"a": RIGHT, "c": NOTHING}, {"b"}, {"d"}, findings)
    assert not findings.counts
    check_waiting({"a": RUNNING, "b": RUNNING}, {"a": RIGHT}, {"a"}, set(), findings)
    assert findings.counts == {promises.TARGET_WAITING: 2}
