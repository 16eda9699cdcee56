"""What can go wrong with a local server.

LocalServerError            a server did not start, stop or answer: the message says which, and why
├── FetchError              a jar could not be fetched: check the connection to the Maven repository
└── AlteredFileError        a jar is not the one in the lock file, and was not used: delete it, or ask who changed it
"""

from __future__ import annotations

from pathlib import Path

LOG_LINES = 20


class LocalServerError(RuntimeError):
    """A local server did not do what it should; the message holds the end of its log, if there is one.

    Attributes:
        log: the server's log file, or None if the failure came before it existed.
    """

    def __init__(self, message: str, log: Path | None = None) -> None:
        self.log = log
        super().__init__(message if log is None else f"{message}\n{describe_log(log)}")


class FetchError(LocalServerError):
    """A file that is not in the cache could not be fetched."""


class AlteredFileError(LocalServerError):
    """A file does not have the checksum that the lock file states."""


def describe_log(log: Path, lines: int = LOG_LINES) -> str:
    """The last lines of a log and its path, for an error message."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"(no log: {error})"
    tail = text.splitlines()[-lines:]
    if not tail:
        return f"(its log {log} is empty)"
    return "\n".join([f"the last lines of its log {log}:", *(f"  {line}" for line in tail)])
