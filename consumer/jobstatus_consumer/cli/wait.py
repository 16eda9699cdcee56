"""`jobstatus wait`."""

from __future__ import annotations

import json
import time

import click
from jobstatus_reader import (
    JobStatusReader,
    NotReachedError,
    ReaderError,
    ReaderSettingsError,
    ReaderSetupError,
    check_timeout,
    check_until,
)

from jobstatus_consumer.cli.options import json_flag, with_settings
from jobstatus_consumer.cli.session import show_values_flag
from jobstatus_consumer.cli.show import wait as show
from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import JobStatusError, SettingsError


@click.command("wait")
@with_settings("database_url", "table", "statuses")
@click.argument("job_id", metavar="JOB")
@click.option("--until", required=True, metavar="WORD,...", help="The statuses that end the wait: success,error.")
@click.option(
    "--timeout",
    type=float,
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up after so many seconds, at most 86,400. With 0 the table is looked at once.",
)
@show_values_flag
@json_flag
def command(settings: Settings, job_id: str, until: str, timeout: float, as_json: bool, show_values: bool) -> None:
    """Wait until a job has one of the statuses, and print it; at once if it has one already.

    A job that does not exist yet is waited for. It needs the database alone, and SELECT on the table. Through an
    outage of the database it goes on waiting; if the first question gets no answer, it ends.

    Exit code 0: the job has one of the statuses. 1: not within the time, or no answer. 2: wrong usage.
    """
    words, seconds = _checked(settings, until, timeout)
    began = time.monotonic()
    try:
        with JobStatusReader(settings.database, settings.table) as reader:
            job = reader.await_status(job_id, words, seconds)
    except NotReachedError as error:
        if as_json:
            click.echo(json.dumps(show.as_dict(job_id, error.job, reached=False, values=show_values)))
        raise JobStatusError(f"{error}. Nothing was changed; jobstatus history JOB lists its events") from None
    except ReaderSettingsError as error:
        raise SettingsError(str(error)) from None
    except ReaderSetupError as error:
        raise JobStatusError(f"{error}. Nothing was waited for") from None
    except ReaderError as error:
        raise JobStatusError(f"{error}. Nothing was waited for; jobstatus check names what is wrong") from None
    show.show(job, time.monotonic() - began, as_json=as_json, values=show_values)


def _checked(settings: Settings, until: str, timeout: float) -> tuple[frozenset[str], float | None]:
    words = [word.strip() for word in until.split(",") if word.strip()]
    try:
        return check_until(words, settings.statuses), check_timeout(timeout)
    except ValueError as error:
        name, _, why = str(error).partition(": ")
        raise SettingsError(f"--{'until' if name == 'status' else name}: {why}") from None
