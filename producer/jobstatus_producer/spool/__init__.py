"""The spool: accepted events in files, until the broker has acknowledged them, whatever becomes of the process.

`folder` makes and takes over spools, `file` is an open one, and `database`, `identity`, `salvage`, `rows` and `lock`
each know one part of it.
"""

from __future__ import annotations

from jobstatus_producer.spool.database import SpoolDamagedError, SpoolVersionError, SpoolWriteError
from jobstatus_producer.spool.file import Refused, SpoolFile
from jobstatus_producer.spool.folder import (
    SpoolInfo,
    damaged,
    inspect,
    open_own,
    paths,
    renew,
    rescue,
    take,
    take_over,
    topic_label,
)
from jobstatus_producer.spool.rows import size_of

__all__ = [
    "Refused",
    "SpoolDamagedError",
    "SpoolFile",
    "SpoolInfo",
    "SpoolVersionError",
    "SpoolWriteError",
    "damaged",
    "inspect",
    "open_own",
    "paths",
    "renew",
    "rescue",
    "size_of",
    "take",
    "take_over",
    "topic_label",
]
