"""What is decided without a server: decoding, the rule, folding, where to start, and the dead letters' format.

Another room imports what it needs from here, and not from the modules. The same holds for `kafka`, `store`, `stream`
and `operations`.
"""

from jobstatus_consumer.core.capacity import Cost, Costs, Cycle, Work, bend, cycle, rate, shared_rate
from jobstatus_consumer.core.cut import LARGEST_KEPT, CutBytes, kept_bytes, kept_headers
from jobstatus_consumer.core.dead_letter_budget import Budget, BudgetState, used_up
from jobstatus_consumer.core.dead_letters import (
    PREFIX,
    DeadLetter,
    Letter,
    as_reference,
    dead_letter,
    letter_of,
    sendable_time,
)
from jobstatus_consumer.core.decode import Decoder, decoder_of
from jobstatus_consumer.core.fold import Statement, fold
from jobstatus_consumer.core.measured import COSTS
from jobstatus_consumer.core.rule import RowState, advance, decide, is_news
from jobstatus_consumer.core.sizing import (
    FILLED,
    LEAST_CONSUMERS,
    MOST_CORES,
    MOST_WAL,
    Change,
    Demand,
    Sizing,
    changes,
    plan,
)
from jobstatus_consumer.core.start_offsets import (
    StartOffset,
    Watermarks,
    after_the_cut,
    newest_log,
    rewind_to,
    start_of,
    unknown_log,
)

__all__ = [
    "COSTS",
    "FILLED",
    "LARGEST_KEPT",
    "LEAST_CONSUMERS",
    "MOST_CORES",
    "MOST_WAL",
    "PREFIX",
    "Budget",
    "BudgetState",
    "Change",
    "Cost",
    "Costs",
    "CutBytes",
    "Cycle",
    "DeadLetter",
    "Decoder",
    "Demand",
    "Letter",
    "RowState",
    "Sizing",
    "StartOffset",
    "Statement",
    "Watermarks",
    "Work",
    "advance",
    "after_the_cut",
    "as_reference",
    "bend",
    "changes",
    "cycle",
    "dead_letter",
    "decide",
    "decoder_of",
    "fold",
    "is_news",
    "kept_bytes",
    "kept_headers",
    "letter_of",
    "newest_log",
    "plan",
    "rate",
    "rewind_to",
    "sendable_time",
    "shared_rate",
    "start_of",
    "unknown_log",
    "used_up",
]
