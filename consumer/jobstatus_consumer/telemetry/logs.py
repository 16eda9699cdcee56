"""Log lines to stderr: for people, or as JSON for programs."""

from __future__ import annotations

import logging
import sys
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

TEXT = "%(asctime)s %(levelname)-7s %(message)s"


def set_up(form: Literal["text", "json"], level: str) -> None:
    """Write the lines of all loggers under `jobstatus` to stderr, from `level` on; replaces an earlier set-up."""
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        fields = {"asctime": "time", "levelname": "level", "name": "logger"}
        handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s", rename_fields=fields))
    else:
        handler.setFormatter(logging.Formatter(TEXT))
    root = logging.getLogger("jobstatus")
    root.handlers = [handler]
    root.setLevel(level.upper())
    root.propagate = False
