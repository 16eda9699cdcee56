"""The privileges that reading, writing and purging need, on each of `managed_tables`."""

from __future__ import annotations

from typing import Final

READS: Final = (("SELECT",),) * 4
WRITES: Final = (*(("SELECT", "INSERT", "UPDATE"),) * 2, ("SELECT",), ("SELECT", "INSERT", "UPDATE", "DELETE"))
PURGES: Final = (
    ("SELECT", "UPDATE", "DELETE"),
    ("SELECT", "UPDATE"),
    ("SELECT", "INSERT", "UPDATE", "DELETE"),
    ("SELECT", "DELETE"),
)
"""A purge locks rows and the progress table, and either lock needs UPDATE."""
