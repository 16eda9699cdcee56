"""Log lines to stderr: for people, or as JSON for programs. In JSON every line of the process is one, also the last."""

from __future__ import annotations

import logging
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Literal

from jobstatus_schemas.masking import masked

from jobstatus_consumer.words import escaped, rfc3339

TEXT: Final = "%(asctime)s %(levelname)-7s %(message)s"
FIELDS: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"
_ROOT: Final = "jobstatus"


class _TextFormatter(logging.Formatter):
    """Local time with its zone, since machines of several zones may write into one log."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        return datetime.fromtimestamp(record.created).astimezone().isoformat(sep=" ", timespec="milliseconds")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return escaped(super().formatMessage(record), lines=True)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        return masked(super().formatException(ei))


def _hide_secrets(record: logging.LogRecord) -> bool:
    record.msg, record.args = masked(record.getMessage()), ()
    return True


class _JsonHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Marks the handler of JSON lines."""


def set_up(form: Literal["text", "json"], level: str) -> None:
    """Write the lines of all loggers under `jobstatus` to stderr, from `level` on; replaces an earlier set-up.

    An exception that nothing catches becomes such a line, too, with its traceback.
    """
    handler = _json_handler() if form == "json" else logging.StreamHandler(sys.stderr)
    if form == "text":
        handler.setFormatter(_TextFormatter(TEXT))
    handler.addFilter(_hide_secrets)
    root = logging.getLogger(_ROOT)
    root.handlers = [handler]
    root.setLevel(level.upper())
    root.propagate = False
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_a_thread


def _json_handler() -> logging.Handler:
    # an extra that the base installation lacks
    from pythonjsonlogger.json import JsonFormatter

    class Json(JsonFormatter):
        def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - as above
            return rfc3339(datetime.fromtimestamp(record.created, UTC))

        def formatException(self, ei: Any) -> str:  # noqa: N802 - as above
            return masked(str(super().formatException(ei)))

    handler = _JsonHandler(sys.stderr)
    fields = {"asctime": "time", "levelname": "level", "name": "logger", "exc_info": "traceback"}
    handler.setFormatter(Json(FIELDS, rename_fields=fields))
    return handler


def tell(text: str) -> None:
    """Write a line for a person to stderr; where log lines are JSON it is one of them, at INFO."""
    if writes_json():
        logging.getLogger(_ROOT).info("%s", text)
    else:
        sys.stderr.write(f"{escaped(masked(text), lines=True)}\n")


def fatal(text: str, exit_code: int) -> None:
    """Write the last line of a command that fails; where log lines are JSON it is one of them."""
    if writes_json():
        logging.getLogger(_ROOT).critical("%s", text, extra={"exit_code": exit_code})
    else:
        sys.stderr.write(f"jobstatus: {escaped(masked(text), lines=True)}\n")


def writes_json() -> bool:
    """Return whether log lines are JSON."""
    return any(isinstance(handler, _JsonHandler) for handler in logging.getLogger(_ROOT).handlers)


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger(_ROOT).critical("an unexpected error: %s", kind.__name__, exc_info=(kind, error, trace))


def _log_uncaught_in_a_thread(found: threading.ExceptHookArgs) -> None:
    if found.exc_value is not None:
        _log_uncaught(found.exc_type, found.exc_value, found.exc_traceback)
