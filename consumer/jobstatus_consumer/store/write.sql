-- Everything the writer says to PostgreSQL while it runs. rule.py is the same rule in Python.
-- Rows come as one JSON list for each field of the event, because that is the least work for both sides; times are in
-- microseconds. A log has l log_id, b begin and n next offset, k whether this session has seen its progress before.

-- write --
-- One statement and one transaction a batch: the rows under the guard, and the progress of the logs.
-- "late_jobs" is an object whose keys are the jobs with a late event: the guard sees only the table's own columns.
WITH written AS (
  INSERT INTO {table} AS t (job_id, status, error_message, attempt, worker_id, occurred_at, event_id,
                            latest_occurred_at, log_id, log_offset, updated_at)
  SELECT job_id, status, error_message, attempt::integer, worker_id,
         timestamptz 'epoch' + occurred_at::bigint * interval '1 microsecond', event_id::uuid,
         timestamptz 'epoch' + "time"::bigint * interval '1 microsecond', log_id, "offset"::bigint, now()
  FROM ROWS FROM (
    json_array_elements_text(%(job_id)s), json_array_elements_text(%(status)s),
    json_array_elements_text(%(error_message)s), json_array_elements_text(%(attempt)s),
    json_array_elements_text(%(worker_id)s), json_array_elements_text(%(occurred_at)s),
    json_array_elements_text(%(event_id)s), json_array_elements_text(%(time)s),
    json_array_elements_text(%(log_id)s), json_array_elements_text(%(offset)s)
  ) AS n (job_id, status, error_message, attempt, worker_id, occurred_at, event_id, "time", log_id, "offset")
  ON CONFLICT (job_id) DO UPDATE SET
    status = excluded.status,
    error_message = excluded.error_message,
    attempt = coalesce(excluded.attempt, t.attempt),
    worker_id = excluded.worker_id,
    occurred_at = excluded.occurred_at,
    event_id = excluded.event_id,
    latest_occurred_at = CASE
      WHEN t.log_id IS NULL OR t.log_offset IS NULL THEN excluded.latest_occurred_at
      ELSE greatest(t.latest_occurred_at, excluded.latest_occurred_at) END,
    log_id = excluded.log_id,
    log_offset = excluded.log_offset,
    updated_at = excluded.updated_at
  WHERE
    -- a lower attempt never wins; an event without one takes the row's
    (excluded.attempt < t.attempt) IS NOT TRUE
    AND CASE
      -- somebody else's row: always
      WHEN t.log_id IS NULL OR t.log_offset IS NULL THEN true
      -- the same log: its order, but a late event must also be news
      WHEN t.log_id = excluded.log_id AND excluded.log_offset <= t.log_offset THEN false
      WHEN t.log_id = excluded.log_id AND NOT %(late_jobs)s ? excluded.job_id THEN true
      -- late, or another log: a higher attempt or a higher time than the row ever took
      ELSE (excluded.attempt > t.attempt OR excluded.attempt IS NOT NULL AND t.attempt IS NULL) IS TRUE
        OR (excluded.latest_occurred_at <= t.latest_occurred_at) IS NOT TRUE
    END
  RETURNING 1
), advanced AS (
  -- what the database itself knows to have: it never goes back, and never jumps over what it has not seen or forgot
  INSERT INTO {progress} AS p (log_id, next_offset, updated_at)
  SELECT l, n, now()
  FROM json_to_recordset(%(logs)s) AS s (l text, b bigint, n bigint, k boolean)
  LEFT JOIN {progress} AS known ON known.log_id = s.l
  WHERE CASE WHEN known.log_id IS NULL THEN NOT k ELSE known.next_offset >= b END
  ORDER BY l
  ON CONFLICT (log_id) DO UPDATE SET next_offset = excluded.next_offset, updated_at = excluded.updated_at
  WHERE p.next_offset < excluded.next_offset
  RETURNING 1
)
SELECT (SELECT count(*) FROM written), (SELECT count(*) FROM advanced)

-- states --
-- Which of these jobs' rows are not at the event that was just sent, and why: asked only where the guard refused some.
-- An infinite time is one that somebody else wrote: the highest number there is, or none, as the guard treats it.
SELECT t.job_id, t.attempt,
       CASE WHEN isfinite(t.latest_occurred_at) THEN (extract(epoch FROM t.latest_occurred_at) * 1000000)::bigint
         WHEN t.latest_occurred_at > 'epoch' THEN 9223372036854775807 END,
       t.log_id, t.log_offset
FROM {table} AS t
JOIN json_array_elements_text(%(jobs)s) AS asked (job_id) ON asked.job_id = t.job_id

-- progress --
-- How far the database knows each of these logs.
SELECT p.log_id, p.next_offset
FROM {progress} AS p
JOIN json_array_elements_text(%(logs)s) AS asked (log_id) ON asked.log_id = p.log_id

-- topic_progress --
-- Every log of a topic that the database knows, those of a topic that was deleted and made again among them.
SELECT p.log_id, p.next_offset FROM {progress} AS p WHERE starts_with(p.log_id, %(prefix)s)
