"""Parts of `emit`, `run` and `spool`: the producer's flags, and its errors turned into exit codes.

The producer is imported only when such a command runs. The consumer never imports it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from jobstatus_consumer.cli.kafka_flag import kafka_flag, kafka_properties
from jobstatus_consumer.errors import JobStatusError, SettingsError

if TYPE_CHECKING:
    from jobstatus_producer import JobStatusProducer, ProducerSettings

_FLAGS = {
    "topic": "JOBSTATUS_TOPIC",
    "bootstrap_servers": "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS",
    "spool_dir": "JOBSTATUS_SPOOL_DIR",
    "worker_id": "JOBSTATUS_WORKER_ID",
}


def with_producer_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the producer's flags; pass `environ`, the environment with the flags' values in it, to the command."""

    @wraps(command)
    def run(**given: Any) -> Any:
        environ = dict(os.environ)
        for name, value in kafka_properties(given.pop("kafka"), "compression.type=lz4").items():
            environ["JOBSTATUS_KAFKA_" + name.upper().replace(".", "_")] = value
        for flag, variable in _FLAGS.items():
            value = given.pop(flag)
            if value is not None:
                environ[variable] = value
        return command(environ, **given)

    run = kafka_flag(run)
    for flag, text in (
        ("spool-dir", "Folder for events that cannot be delivered now."),
        ("worker-id", "Name of the worker that reports."),
        ("topic", "Topic of the events. [default: job-status]"),
        ("bootstrap-servers", "The brokers, host:port,..."),
    ):
        variable = _FLAGS[flag.replace("-", "_")]
        run = click.option(f"--{flag}", metavar="VALUE", help=f"{text} [env: {variable}]")(run)
    return run


@contextmanager
def producer_errors() -> Iterator[None]:
    """Turn the producer's errors into the command line's, which have an exit code."""
    from jobstatus_producer import errors

    try:
        yield
    except errors.SettingsError as error:
        raise SettingsError(str(error)) from None
    except errors.ProducerError as error:
        raise JobStatusError(str(error)) from None


def producer_settings(environ: Mapping[str, str]) -> ProducerSettings:
    """The producer's settings in this environment. Raises errors that `producer_errors` translates."""
    from jobstatus_producer import ProducerSettings

    return ProducerSettings.from_env(environ)


def open_producer(settings: ProducerSettings) -> JobStatusProducer:
    """A producer for this command. Raises errors that `producer_errors` translates."""
    from jobstatus_producer import JobStatusProducer

    return JobStatusProducer(settings)
