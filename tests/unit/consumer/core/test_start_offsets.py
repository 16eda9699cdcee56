"""Where to go on: the group's commit, the log's bounds and the database's own knowledge, held against each other."""

from __future__ import annotations

import pytest
from jobstatus_consumer.core.start_offsets import (
    StartOffset,
    Watermarks,
    newest_log,
    rewind_to,
    start_of,
    unknown_log,
)
from jobstatus_consumer.errors import OffsetsLostError
from jobstatus_consumer.records import Log

LOG = Log("t", "id", 3)


def test_a_new_group_starts_with_the_first_offset_there_is() -> None:
    assert start_of(LOG, None, "", Watermarks(40, 90), accept_loss=False) == StartOffset(LOG, 40)


@pytest.mark.parametrize("committed", [40, 60, 90])
def test_a_group_goes_on_where_it_committed(committed: int) -> None:
    for topic_id in ("id", ""):
        assert start_of(LOG, committed, topic_id, Watermarks(40, 90), accept_loss=False) == StartOffset(LOG, committed)


@pytest.mark.parametrize(
    ("committed", "topic_id", "says"),
    [
        (39, "id", "retention ran ahead"),
        (91, "id", "was truncated"),
        (50, "another", "was made again"),
    ],
)
def test_offsets_that_are_gone_stop_with_facts_and_remedy(committed: int, topic_id: str, says: str) -> None:
    with pytest.raises(OffsetsLostError, match=says) as caught:
        start_of(LOG, committed, topic_id, Watermarks(40, 90), accept_loss=False)
    assert "t[3]" in str(caught.value)
    assert str(committed) in str(caught.value)
    assert "--on-lost-offsets earliest" in str(caught.value)


def test_an_accepted_loss_opens_a_new_generation_of_the_log() -> None:
    start = start_of(LOG._replace(incarnation=2), 91, "id", Watermarks(40, 90), accept_loss=True)
    assert start[:2] == (LOG._replace(incarnation=3), 40)
    assert "the loss is accepted" in start.remark
    made_again = start_of(LOG, 50, "another", Watermarks(0, 9), accept_loss=True)
    assert made_again[:2] == (LOG, 0), "another topic id is another log already"


def test_the_newest_generation_that_the_database_knows_is_gone_on_with() -> None:
    others = [LOG._replace(partition=2, incarnation=7), LOG._replace(topic_id="old", incarnation=9)]
    known = {log.id: 5 for log in (LOG, LOG._replace(incarnation=1), LOG._replace(incarnation=2), *others)}
    assert newest_log(LOG, known) == LOG._replace(incarnation=2)
    assert newest_log(LOG._replace(incarnation=3), known) == LOG._replace(incarnation=3)
    assert newest_log(LOG, {}) == LOG
    assert newest_log(LOG, {"none of ours": 1, "t/id": 2, "t/id/3/4/5": 3}) == LOG


def test_a_loss_accepted_on_the_word_of_another_tool_takes_a_generation_that_nobody_has_used() -> None:
    known = {LOG.id: 5, LOG._replace(incarnation=1).id: 9}
    assert newest_log(LOG._replace(incarnation=1), known, fresh=True) == LOG._replace(incarnation=2)
    assert newest_log(LOG._replace(incarnation=2), known, fresh=True) == LOG._replace(incarnation=2)


def test_a_database_that_knows_all_is_left_alone() -> None:
    assert rewind_to(LOG, 50, 0, 50, accept_loss=False) is None
    assert rewind_to(LOG, 50, 0, 70, accept_loss=False) is None
    assert rewind_to(LOG, 5, 5, None, accept_loss=False) is None


def test_a_database_that_forgot_is_healed_from_what_it_knows() -> None:
    found = rewind_to(LOG, 50, 0, 20, accept_loss=False)
    assert found is not None
    assert found.offset == 20
    assert "20" in found.remark
    assert "50" in found.remark


def test_a_database_that_knows_nothing_gets_everything_there_is() -> None:
    found = rewind_to(LOG, 50, 7, None, accept_loss=False)
    assert found is not None
    assert found.offset == 7


def test_what_is_forgotten_and_no_longer_in_the_log_stops() -> None:
    with pytest.raises(OffsetsLostError, match="the log begins at 30"):
        rewind_to(LOG, 50, 30, 20, accept_loss=False)
    accepted = rewind_to(LOG, 50, 30, 20, accept_loss=True)
    assert accepted is not None
    assert accepted[:2] == (LOG._replace(incarnation=1), 30)


def test_a_deleted_topic_whose_commits_went_with_it_is_remembered_by_the_database() -> None:
    known = {"t/old/3": 70, "t/old/2": 5}
    with pytest.raises(OffsetsLostError, match="the database knows offset 70 of topic id old"):
        unknown_log(LOG, known, 0, accept_loss=False)
    unknown_log(LOG, known, 0, accept_loss=True)
    unknown_log(LOG, {**known, LOG.id: 1}, 0, accept_loss=False)
    unknown_log(LOG, {"t/old/2": 5, "t/id/3/1": 9}, 0, accept_loss=False)


def test_a_log_is_read_back_from_its_id() -> None:
    for log in (LOG, LOG._replace(incarnation=2), Log("a.b-c_d", "-", 0)):
        assert Log.parse(log.id) == log
