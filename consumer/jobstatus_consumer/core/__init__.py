"""What is decided without a server: decoding, the rule, folding, where to start, and the dead letters' format.

Another room imports what it needs from here, and not from the modules. The same holds for `kafka`, `store`, `stream`
and `operations`.
"""

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
from jobstatus_consumer.core.fold import Encoded, Statement, fold
from jobstatus_consumer.core.rule import RowState, advance, decide, is_news
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
    "LARGEST_KEPT",
    "PREFIX",
    "Budget",
    "BudgetState",
    "CutBytes",
    "DeadLetter",
    "Decoder",
    "Encoded",
    "Letter",
    "RowState",
    "StartOffset",
    "Statement",
    "Watermarks",
    "advance",
    "after_the_cut",
    "as_reference",
    "dead_letter",
    "decide",
    "decoder_of",
    "fold",
    "is_news",
    "kept_bytes",
    "kept_headers",
    "letter_of",
    "newest_log",
    "rewind_to",
    "sendable_time",
    "start_of",
    "unknown_log",
    "used_up",
]
