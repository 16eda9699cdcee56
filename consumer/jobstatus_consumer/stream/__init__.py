"""The online path: read the topic as a member of the group, write batches to PostgreSQL, commit their offsets.

app          one run: the checks at the start, one or more memberships, health, the summary
checks       what else keeps a consumer from working: rights, the budget, the address
readiness    what keeps a consumer from working, and the wait for it to pass
pipeline     the loop, and the only control flow: poll, decode, batch, submit, take the result, commit
assignment   the assigned partitions: which log each is, and how far its offsets have come
lag          what is not written yet, and how old it is
standing     how the run stands: what the probes answer, and what the gauges show
questions    what is asked for the metrics now and then: overdue jobs, rows, open dead letters
batch        when a batch is full, and which offsets it covers
writer       the thread that writes batches and sends dead letters
caught_up    when `--until-caught-up` ends
batch_lines  the log line of each batch, or of a second's batches
run_stats    what was written: the log line, the metrics, the summary
"""

from jobstatus_consumer.stream.app import ConsumeOptions, consume
from jobstatus_consumer.stream.checks import taken_address
from jobstatus_consumer.stream.readiness import problems

__all__ = [
    "ConsumeOptions",
    "consume",
    "problems",
    "taken_address",
]
