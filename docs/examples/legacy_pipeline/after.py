"""A pipeline of the kind that jobstatus was made for: it reports from more than twenty places."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from jobstatus_producer import (
    batch_update_job_status,
    flush_job_status_updates,
    get_batch_update_stats,
    update_job_status,
)


class NotThereError(Exception):
    """A document that cannot be had."""


def schedule(job_ids: range) -> None:
    for job_id in job_ids:
        batch_update_job_status(job_id, "pending")


def fetch(job_id: int) -> str:
    update_job_status(job_id, "fetching")
    if job_id % 10 == 3:
        update_job_status(job_id, "error", "404 Not Found")
        raise NotThereError(job_id)
    if job_id % 10 == 4:
        update_job_status(job_id, "waiting", "429 Too Many Requests")
        update_job_status(job_id, "fetching")
    update_job_status(job_id, "fetched")
    return f"document {job_id}"


def parse(job_id: int, document: str) -> list[str]:
    update_job_status(job_id, "parsing")
    try:
        words = document.split()
        if job_id % 10 == 5:
            raise ValueError(f"line 1: {document!r} is no document")
    except ValueError as error:
        update_job_status(job_id, "error", str(error))
        raise
    update_job_status(job_id, "parsed")
    return words


def enrich(job_id: int, words: list[str]) -> list[str]:
    update_job_status(job_id, "enriching")
    if job_id % 10 == 6:
        update_job_status(job_id, "skipped", "nothing to enrich")
        return words
    update_job_status(job_id, "enriched")
    return [word.upper() for word in words]


def store(job_id: int, words: list[str]) -> None:
    update_job_status(job_id, "storing")
    for attempt in (1, 2):
        if attempt == 1 and job_id % 10 == 7:
            update_job_status(job_id, "retrying", "deadlock detected")
            continue
        if not words:
            update_job_status(job_id, "error", "nothing to store")
            return
        break
    update_job_status(job_id, "stored")


def notify(job_id: int) -> None:
    update_job_status(job_id, "notifying")
    if job_id % 10 == 8:
        update_job_status(job_id, "success", "stored, but nobody could be told")
        return
    update_job_status(job_id, "success")


def run(job_id: int) -> None:
    try:
        words = enrich(job_id, parse(job_id, fetch(job_id)))
        store(job_id, words)
        notify(job_id)
    except NotThereError:
        update_job_status(job_id, "gone")
    except Exception as error:  # noqa: BLE001 - a pipeline goes on with its next job
        update_job_status(job_id, "failed", f"{type(error).__name__}: {error}")


def main() -> None:
    jobs = range(int(sys.argv[1]))
    schedule(jobs)
    with ThreadPoolExecutor(8) as workers:
        list(workers.map(run, jobs))
    flush_job_status_updates()
    print(get_batch_update_stats())  # noqa: T201


if __name__ == "__main__":
    main()
