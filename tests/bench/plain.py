"""Contender: the loop that a good engineer writes in an afternoon.

`consume(n)`, fastavro, one `executemany` upsert in a transaction, then a synchronous commit of the offsets. It has no
guard against old news, no answer to a bad event and none to a database that is away.
"""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Any

import fastavro
import psycopg
from confluent_kafka import Consumer, Message
from jobstatus_schemas import schema_text

from .marks import Marks

HEADER_BYTES = 10
TABLE = """
CREATE TABLE plain_jobs (job_id text PRIMARY KEY, status text, error_message text, attempt integer, worker_id text,
                         occurred_at timestamptz, event_id uuid, updated_at timestamptz) WITH (fillfactor = 70)
"""
UPSERT = """
INSERT INTO plain_jobs (job_id, status, error_message, attempt, worker_id, occurred_at, event_id, updated_at)
VALUES (%(job_id)s, %(status)s, %(error_message)s, %(attempt)s, %(worker_id)s, %(occurred_at)s, %(event_id)s, now())
ON CONFLICT (job_id) DO UPDATE SET status = excluded.status, error_message = excluded.error_message,
  attempt = excluded.attempt, worker_id = excluded.worker_id, occurred_at = excluded.occurred_at,
  event_id = excluded.event_id, updated_at = excluded.updated_at
"""


def main() -> None:
    consume(UPSERT, TABLE)


def consume(statement: str, ddl: str = "") -> None:
    """Read the topic and execute the statement for each event, a batch in a transaction."""
    total = int(sys.argv[1])
    marks = Marks(total)
    size = int(os.environ["JOBSTATUS_BATCH_MAX_EVENTS"])
    schema = fastavro.parse_schema(json.loads(schema_text()))
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS"],
            "group.id": os.environ["JOBSTATUS_GROUP_ID"],
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([os.environ["JOBSTATUS_TOPIC"]])
    with psycopg.connect(os.environ["JOBSTATUS_DATABASE_URL"], autocommit=True) as connection:
        if ddl:
            connection.execute(ddl)
        done = 0
        while done < total:
            rows = [_row(message, schema) for message in consumer.consume(size, 1.0) if message.error() is None]
            if not rows:
                continue
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(statement, rows)
            consumer.commit(asynchronous=False)
            done += len(rows)
            marks.batch(len(rows))
    consumer.close()
    marks.tell()


def _row(message: Message, schema: Any) -> Any:
    return fastavro.schemaless_reader(io.BytesIO((message.value() or b"")[HEADER_BYTES:]), schema, None)


if __name__ == "__main__":
    main()
