"""The demo's consumer: `jobstatus consume` in a process of its own, that ends with the demo.

    python -m jobstatus_demo.member PARENT real|memory ARGUMENTS OF jobstatus...

On librdkafka's built-in cluster (`memory`) nobody answers questions of administration; there alone the topic's facts
come from the metadata that every client has.
"""

from __future__ import annotations

import sys

from jobstatus_consumer.cli.main import main as jobstatus
from jobstatus_consumer.stream import app

from jobstatus_demo.memory import MemoryTopics
from jobstatus_demo.tether import die_with


def main(parent: str, kind: str, *arguments: str) -> None:
    """Run the command; does not return."""
    die_with(int(parent))
    if kind == "memory":
        setattr(app, "Topics", MemoryTopics)  # noqa: B010 - mypy: a name that app has for its own use
    sys.argv = ["jobstatus", *arguments]
    jobstatus()


if __name__ == "__main__":
    main(*sys.argv[1:])
