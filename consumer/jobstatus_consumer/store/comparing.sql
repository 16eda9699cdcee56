-- What the commands ask of the target and the managed table together. All of it is of one snapshot, so a live consumer
-- causes no false alarm: it writes both tables, and the table of waiting jobs, in one transaction.

-- compare --
-- The next states in the order of their jobs, and which rows of the target do not show them. A job that waits is not
-- compared: its state may be one that the target refuses. The pages are materialized so that no expression of the
-- user's is evaluated for another state. NOT IN is hashed; the planner would take `found` for one row, and loop.
WITH page AS MATERIALIZED (
  SELECT {returned} FROM {table} AS t WHERE t.job_id > %(after)s {of_jobs} ORDER BY t.job_id LIMIT %(limit)s
), written AS MATERIALIZED (
  SELECT event.* FROM page AS event WHERE NOT EXISTS (SELECT FROM {waiting} AS w WHERE w.job_id = event.job_id)
), keyed AS MATERIALIZED (
  SELECT event.*,
    {keys}
  FROM written AS event
), found AS MATERIALIZED (
  SELECT event.job_id, {where} IS TRUE AS wanted, array_remove(ARRAY[
    {differences}
  ]::text[], NULL) AS columns
  FROM keyed AS event
  JOIN {target} AS job ON {same_row}
), rowless AS (
  SELECT event.job_id FROM keyed AS event
  WHERE {ours} AND event.job_id NOT IN (SELECT found.job_id FROM found)
)
SELECT
  (SELECT count(*) FROM page),
  (SELECT max(job_id) FROM page),
  (SELECT count(*) FROM page) - (SELECT count(*) FROM written),
  (SELECT count(*) FROM keyed AS event WHERE NOT ({ours})),
  (SELECT count(*) FROM found WHERE NOT wanted AND cardinality(columns) > 0),
  (SELECT coalesce(json_agg(json_build_array(job_id, columns) ORDER BY job_id), '[]') FROM found
   WHERE wanted AND cardinality(columns) > 0),
  (SELECT coalesce(json_agg(job_id ORDER BY job_id), '[]') FROM rowless)

-- of_jobs --
-- Only these jobs.
AND t.job_id = ANY (ARRAY(SELECT json_array_elements_text(%(jobs)s)))

-- next_job --
-- The next job alone.
SELECT t.job_id
FROM {table} AS t WHERE t.job_id > %(after)s {of_jobs} ORDER BY t.job_id LIMIT 1

-- park --
-- These jobs wait until a consumer writes their rows. The rows of waiting jobs change only under the lock on their
-- state, and states are locked in the order of their jobs.
WITH ours AS (
  SELECT t.job_id FROM {table} AS t
  WHERE t.job_id = ANY (ARRAY(SELECT json_array_elements_text(%(jobs)s)))
  ORDER BY t.job_id
  FOR NO KEY UPDATE
)
INSERT INTO {waiting} (job_id, since, next_try, tries, reason)
SELECT ours.job_id, now(), now(), 0, 'changed' FROM ours
ON CONFLICT (job_id) DO NOTHING
RETURNING 1

-- count --
-- About how many states there are.
SELECT greatest(c.reltuples, 0)::bigint FROM pg_class AS c WHERE c.oid = to_regclass(%(table)s)

-- key --
-- Whether the key of this job is not NULL.
WITH written AS (
  SELECT {returned} FROM {table} AS t WHERE t.job_id = %(job)s
), keyed AS (
  SELECT event.*,
    {keys}
  FROM written AS event
)
SELECT {ours} FROM keyed AS event

-- row --
-- The row of this job: whether it may be written, and for each mapped column its value, the value that the state makes,
-- and whether the two differ.
WITH written AS MATERIALIZED (
  SELECT {returned} FROM {table} AS t WHERE t.job_id = %(job)s
), keyed AS MATERIALIZED (
  SELECT event.*,
    {keys}
  FROM written AS event
)
SELECT {where} IS TRUE,
    {beside}
FROM keyed AS event
JOIN {target} AS job ON {same_row}
LIMIT 1
