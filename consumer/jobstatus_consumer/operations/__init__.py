"""What an operator does with the log and the table: replay, rebuild, verify, repair, history, redrive, purge.

An event that is read again goes through the same fold and the same guard, with its own position. So nothing newer is
overwritten, and a second replay changes nothing. The live group's offsets and the table's progress say what the
consumer did; nothing in this package changes them, except that a rebuild writes the progress of its own new table.
"""

from jobstatus_consumer.operations.findings import Finding, VerifyReport
from jobstatus_consumer.operations.history import History, HistoryEntry, explain, letters_of, records_of
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
    redrive,
    survey,
)
from jobstatus_consumer.operations.repair import RepairContext, RepairResult, repair
from jobstatus_consumer.operations.replay import LiveTable, ReplayResult, reached, retry_database
from jobstatus_consumer.operations.scope import EventFilter, Scope, current_logs, find, lost_tails
from jobstatus_consumer.operations.status import (
    BrokerSide,
    PartitionStatus,
    StatusReport,
    ask_broker,
    look,
    partitions_of,
    waiting_for,
)
from jobstatus_consumer.operations.suspects import Criteria
from jobstatus_consumer.operations.target import (
    TargetDifference,
    TargetReport,
    compare_target,
    sync_target,
)
from jobstatus_consumer.operations.times import brief, shown, shown_ms
from jobstatus_consumer.operations.undo import UndoResult, undo
from jobstatus_consumer.operations.verify import is_exact, time_limit, verify

__all__ = [
    "NOTHING",
    "BrokerSide",
    "Criteria",
    "EventFilter",
    "Finding",
    "History",
    "HistoryEntry",
    "JudgedLetter",
    "LetterOverview",
    "LetterSelection",
    "LiveTable",
    "NoRows",
    "OffsetRange",
    "Originals",
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
    "StatusReport",
    "TargetDifference",
    "TargetReport",
    "UndoResult",
    "VerifyReport",
    "ask_broker",
    "brief",
    "compare_target",
    "current_logs",
    "explain",
    "find",
    "forget",
    "held_offsets",
    "is_exact",
    "letters_of",
    "look",
    "lost_tails",
    "make_plan",
    "parse_bound",
    "partitions_of",
    "purge",
    "reached",
    "rebuild",
    "records_of",
    "redrive",
    "repair",
    "retry_database",
    "shown",
    "shown_ms",
    "survey",
    "sync_target",
    "time_limit",
    "undo",
    "verify",
    "waiting_for",
]
