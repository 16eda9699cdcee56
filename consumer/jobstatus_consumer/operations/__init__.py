"""What an operator does with the log and the table: replay, rebuild, verify, repair, history, redrive, purge.

An event that is read again goes through the same fold and the same guard, with its own position. So nothing newer is
overwritten, and a second replay changes nothing. The live group's offsets and the table's progress say what the
consumer did; nothing in this package changes them, except that a rebuild writes the progress of its own new table.
"""

from jobstatus_consumer.operations.actions import (
    ACTIONS,
    MOST_OFFSETS,
    Action,
    ActionPlan,
    Means,
    action_of,
    apply_exactly,
)
from jobstatus_consumer.operations.audit import audited
from jobstatus_consumer.operations.findings import Finding, VerifyReport
from jobstatus_consumer.operations.history import History, HistoryEntry, explain, letters_of, records_of
from jobstatus_consumer.operations.job import Attempt, Bounds, JobFacts, Stay, read_job, read_letters, row_alone, stored
from jobstatus_consumer.operations.offsets import (
    Move,
    PartitionState,
    move_group,
    move_of,
    offsets_at,
    partition_states,
)
from jobstatus_consumer.operations.originals import Originals
from jobstatus_consumer.operations.plan import NoRows, ReplayPlan, Rows, make_plan
from jobstatus_consumer.operations.purge import PurgeContext, PurgeResult, forget, held_offsets, purge
from jobstatus_consumer.operations.ranges import NOTHING, OffsetRange, parse_bound
from jobstatus_consumer.operations.rebuild import rebuild
from jobstatus_consumer.operations.redrive import (
    JudgedLetter,
    LetterOverview,
    LetterSelection,
    RedriveResult,
    decoded_or_not,
    judge,
    parse_positions,
    redrive,
    survey,
)
from jobstatus_consumer.operations.repair import RepairContext, RepairResult, repair
from jobstatus_consumer.operations.replay import LiveTable, ReplayResult, reached, retry_database
from jobstatus_consumer.operations.scope import EventFilter, Scope, current_logs, find, lost_tails, quiet
from jobstatus_consumer.operations.status import (
    BrokerSide,
    PartitionStatus,
    StatusReport,
    ask_broker,
    count_open_letters,
    look,
    oldest_unwritten,
    partitions_of,
    waiting_for,
    within,
)
from jobstatus_consumer.operations.suspects import Criteria
from jobstatus_consumer.operations.target import (
    TargetDifference,
    TargetReport,
    compare_target,
    sync_target,
)
from jobstatus_consumer.operations.timeline import Span, timeline, totals
from jobstatus_consumer.operations.times import brief, shown, shown_ms
from jobstatus_consumer.operations.undo import UndoResult, undo
from jobstatus_consumer.operations.verify import is_exact, time_limit, verify
from jobstatus_consumer.operations.verify_scope import latest_time, verify_scope

__all__ = [
    "ACTIONS",
    "MOST_OFFSETS",
    "NOTHING",
    "Action",
    "ActionPlan",
    "Attempt",
    "Bounds",
    "BrokerSide",
    "Criteria",
    "EventFilter",
    "Finding",
    "History",
    "HistoryEntry",
    "JobFacts",
    "JudgedLetter",
    "LetterOverview",
    "LetterSelection",
    "LiveTable",
    "Means",
    "Move",
    "NoRows",
    "OffsetRange",
    "Originals",
    "PartitionState",
    "PartitionStatus",
    "PurgeContext",
    "PurgeResult",
    "RedriveResult",
    "RepairContext",
    "RepairResult",
    "ReplayPlan",
    "ReplayResult",
    "Rows",
    "Scope",
    "Span",
    "StatusReport",
    "Stay",
    "TargetDifference",
    "TargetReport",
    "UndoResult",
    "VerifyReport",
    "action_of",
    "apply_exactly",
    "ask_broker",
    "audited",
    "brief",
    "compare_target",
    "count_open_letters",
    "current_logs",
    "decoded_or_not",
    "explain",
    "find",
    "forget",
    "held_offsets",
    "is_exact",
    "judge",
    "latest_time",
    "letters_of",
    "look",
    "lost_tails",
    "make_plan",
    "move_group",
    "move_of",
    "offsets_at",
    "oldest_unwritten",
    "parse_bound",
    "parse_positions",
    "partition_states",
    "partitions_of",
    "purge",
    "quiet",
    "reached",
    "read_job",
    "read_letters",
    "rebuild",
    "records_of",
    "redrive",
    "repair",
    "retry_database",
    "row_alone",
    "shown",
    "shown_ms",
    "stored",
    "survey",
    "sync_target",
    "time_limit",
    "timeline",
    "totals",
    "undo",
    "verify",
    "verify_scope",
    "waiting_for",
    "within",
]
