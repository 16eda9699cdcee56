"""What ends a demo early."""

from __future__ import annotations

from jobstatus_consumer.errors import JobStatusError


class DemoError(JobStatusError):
    """The demo cannot go on; the text says why, with the end of a child's log where there is one."""
