-- What replay, verify and redrive ask of the table, many rows at once; times are in microseconds.
-- An infinite time is one that somebody else wrote: the highest number there is, or none, as the guard treats it.

-- rows --
-- The rows of these jobs, whole.
SELECT t.job_id, t.attempt,
       CASE WHEN isfinite(t.latest_occurred_at) THEN (extract(epoch FROM t.latest_occurred_at) * 1000000)::bigint
         WHEN t.latest_occurred_at > 'epoch' THEN 9223372036854775807 END,
       t.log_id, t.log_offset, t.status, t.error_message, t.worker_id,
       CASE WHEN isfinite(t.occurred_at) THEN (extract(epoch FROM t.occurred_at) * 1000000)::bigint
         WHEN t.occurred_at > 'epoch' THEN 9223372036854775807 END,
       t.event_id::text
FROM {table} AS t
JOIN json_array_elements_text(%(jobs)s) AS asked (job_id) ON asked.job_id = t.job_id

-- states --
-- The same rows, as much of them as the rule asks.
SELECT t.job_id, t.attempt,
       CASE WHEN isfinite(t.latest_occurred_at) THEN (extract(epoch FROM t.latest_occurred_at) * 1000000)::bigint
         WHEN t.latest_occurred_at > 'epoch' THEN 9223372036854775807 END,
       t.log_id, t.log_offset
FROM {table} AS t
JOIN json_array_elements_text(%(jobs)s) AS asked (job_id) ON asked.job_id = t.job_id

-- hold --
-- Which of these jobs have a row; nobody deletes it until the transaction ends, and updates do not wait for us.
SELECT t.job_id
FROM {table} AS t
WHERE t.job_id IN (SELECT json_array_elements_text(%(jobs)s))
ORDER BY t.job_id
FOR KEY SHARE

-- differing --
-- Of the jobs of these rows, those whose row in the table is another one or missing.
SELECT n.job_id, t.job_id IS NOT NULL, t.attempt,
       CASE WHEN isfinite(t.latest_occurred_at) THEN (extract(epoch FROM t.latest_occurred_at) * 1000000)::bigint
         WHEN t.latest_occurred_at > 'epoch' THEN 9223372036854775807 END,
       t.log_id, t.log_offset, t.status, t.error_message, t.worker_id,
       CASE WHEN isfinite(t.occurred_at) THEN (extract(epoch FROM t.occurred_at) * 1000000)::bigint
         WHEN t.occurred_at > 'epoch' THEN 9223372036854775807 END,
       t.event_id::text
FROM ROWS FROM (
  json_array_elements_text(%(job_id)s), json_array_elements_text(%(attempt)s), json_array_elements_text(%(latest)s),
  json_array_elements_text(%(log_id)s), json_array_elements_text(%(log_offset)s), json_array_elements_text(%(status)s),
  json_array_elements_text(%(error_message)s), json_array_elements_text(%(worker_id)s),
  json_array_elements_text(%(occurred_at)s), json_array_elements_text(%(event_id)s)
) AS n (job_id, attempt, latest, log_id, log_offset, status, error_message, worker_id, occurred_at, event_id)
LEFT JOIN {table} AS t ON t.job_id = n.job_id
WHERE (t.job_id, t.attempt, t.latest_occurred_at, t.log_id, t.log_offset, t.status, t.error_message, t.worker_id,
       t.occurred_at, t.event_id)
  IS DISTINCT FROM
      (n.job_id, n.attempt::integer, timestamptz 'epoch' + n.latest::bigint * interval '1 microsecond', n.log_id,
       n.log_offset::bigint, n.status, n.error_message, n.worker_id,
       timestamptz 'epoch' + n.occurred_at::bigint * interval '1 microsecond', n.event_id::uuid)

-- positions --
-- Where every row came from, and whether its time is too late to be.
SELECT t.job_id, CASE WHEN t.log_offset IS NOT NULL THEN t.log_id END, t.log_offset,
       coalesce(t.latest_occurred_at >= timestamptz 'epoch' + %(limit)s * interval '1 microsecond', false)
FROM {table} AS t

-- progress --
-- How far the database knows every log it ever took events of.
SELECT log_id, next_offset FROM {progress}

-- set_progress --
-- An administrator moves the group: the database must not send it back, nor claim what was given up.
INSERT INTO {progress} AS p (log_id, next_offset, updated_at)
SELECT l, n, now() FROM json_to_recordset(%(logs)s) AS s (l text, n bigint)
ORDER BY l
ON CONFLICT (log_id) DO UPDATE SET next_offset = excluded.next_offset, updated_at = excluded.updated_at

-- repair --
-- A row is set to what the log says only while it stands where it stood when it was judged.
-- keep_attempt and keep_latest: the row's own is possible, and stays unless the log says a higher one.
WITH mended AS (
  UPDATE {table} AS t SET
    status = n.status,
    error_message = n.error_message,
    attempt = CASE WHEN n.keep_attempt THEN greatest(t.attempt, n.attempt) ELSE n.attempt END,
    worker_id = n.worker_id,
    occurred_at = timestamptz 'epoch' + n.occurred_at * interval '1 microsecond',
    event_id = n.event_id,
    latest_occurred_at = greatest(CASE WHEN n.keep_latest THEN t.latest_occurred_at END,
      timestamptz 'epoch' + n.latest * interval '1 microsecond'),
    log_id = n.log_id,
    log_offset = n.log_offset,
    updated_at = now()
  FROM json_to_recordset(%(rows)s) AS n (
    job_id text, status text, error_message text, attempt integer, worker_id text, occurred_at bigint, event_id uuid,
    latest bigint, log_id text, log_offset bigint, keep_attempt boolean, keep_latest boolean,
    was_log text, was_offset bigint)
  WHERE t.job_id = n.job_id AND t.log_id = n.was_log AND t.log_offset = n.was_offset
  RETURNING t.job_id
)
SELECT job_id FROM mended

-- may_make --
-- Where the new table would be made, whether that schema is there and this role may make tables in it, and the remedy.
SELECT place.schema, n.oid IS NOT NULL, coalesce(has_schema_privilege(n.oid, 'CREATE'), false), current_user::text,
       CASE WHEN n.oid IS NULL THEN format('CREATE SCHEMA %%I', coalesce(place.schema, current_user))
         ELSE format('GRANT CREATE ON SCHEMA %%I TO %%I', place.schema, current_user) END
FROM (SELECT coalesce(%(schema)s::text, current_schema()::text)) AS place (schema)
LEFT JOIN pg_namespace AS n ON n.nspname = place.schema

-- taken --
-- Which of the two names is a relation already.
SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.oid IN (to_regclass(%(table)s), to_regclass(%(progress)s))

-- copy --
-- A new table is filled in one piece.
COPY {table} (job_id, status, error_message, attempt, worker_id, occurred_at, event_id, latest_occurred_at, log_id,
              log_offset, updated_at) FROM STDIN

-- analyze --
-- The planner knows nothing of a new table.
ANALYZE {table}
