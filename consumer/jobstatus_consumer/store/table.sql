-- What replay, verify and redrive ask of the table, for many rows at once. Times are in microseconds.

-- rows --
-- The whole rows of these jobs.
SELECT
  t.job_id,
  {row}
FROM {table} AS t
JOIN json_array_elements_text(%(jobs)s) AS asked (job_id) ON asked.job_id = t.job_id

-- states --
-- What the rule compares of these rows.
SELECT
  t.job_id,
  {state}
FROM {table} AS t
JOIN json_array_elements_text(%(jobs)s) AS asked (job_id) ON asked.job_id = t.job_id

-- purged --
-- What a purge has left of these jobs, of those that have no row, and when they were purged.
SELECT
  t.job_id,
  extract(epoch FROM t.purged_at)::double precision,
  {state}
FROM json_array_elements_text(%(jobs)s) AS asked (job_id)
JOIN {purged} AS t ON t.job_id = asked.job_id
WHERE NOT EXISTS (SELECT FROM {table} AS row WHERE row.job_id = t.job_id)

-- lock --
-- Which of these jobs have a row. Until the transaction ends nobody can delete it, and updates need not wait.
SELECT t.job_id
FROM {table} AS t
WHERE t.job_id IN (SELECT json_array_elements_text(%(jobs)s))
ORDER BY t.job_id
FOR KEY SHARE

-- differing --
-- Of the jobs of these rows, those whose row in the table is another one or missing.
SELECT
  n.job_id,
  t.job_id IS NOT NULL,
  {row}
FROM ROWS FROM (
  {json_lists}
) AS n ({sent})
LEFT JOIN {table} AS t ON t.job_id = n.job_id
WHERE ({sent_of_table}) IS DISTINCT FROM (
  {sent_of_new}
)

-- positions --
-- Where every row came from, and whether its time is at or after the limit.
SELECT t.job_id, CASE WHEN t.log_offset IS NOT NULL THEN t.log_id END, t.log_offset,
       coalesce(t.latest_occurred_at >= timestamptz 'epoch' + %(limit)s * interval '1 microsecond', false)
FROM {table} AS t

-- progress --
-- How far the database has every log that it ever took events from.
SELECT log_id, next_offset FROM {progress}

-- first_offsets --
-- The first offset of each log that was written here. Before it, and in the incarnation before, its rows are others'.
SELECT log_id, first_offset FROM {progress} WHERE first_offset IS NOT NULL

-- set_progress --
-- An administrator moves the group: the database must neither send it back nor claim what was given up.
INSERT INTO {progress} AS p (log_id, next_offset, updated_at)
SELECT l, n, now() FROM json_to_recordset(%(logs)s) AS s (l text, n bigint)
ORDER BY l
ON CONFLICT (log_id) DO UPDATE SET
  next_offset = excluded.next_offset, leader_epoch = NULL, updated_at = excluded.updated_at

-- repair --
-- A row is set to what the log says only while it is at the position at which it was judged.
-- With keep_attempt and keep_latest the row's own value is possible: it stays unless the log says a higher one.
WITH repaired AS (
  UPDATE {table} AS t SET
    {content_from_record},
    attempt = CASE WHEN n.keep_attempt THEN greatest(t.attempt, n.attempt) ELSE n.attempt END,
    latest_occurred_at = greatest(
      CASE WHEN n.keep_latest THEN t.latest_occurred_at END,
      timestamptz 'epoch' + n.latest_occurred_at * interval '1 microsecond'),
    log_id = n.log_id,
    log_offset = n.log_offset,
    updated_at = now()
  FROM json_to_recordset(%(rows)s) AS n (
    {record},
    keep_attempt boolean, keep_latest boolean, was_log text, was_offset bigint
  )
  WHERE t.job_id = n.job_id AND t.log_id = n.was_log AND t.log_offset = n.was_offset
  RETURNING t.job_id
){parked}
SELECT job_id FROM repaired

-- park --
-- A state that was changed without the target waits, and the consumer writes its row.
, parked AS (
  INSERT INTO {waiting} (job_id, since, next_try, tries, reason)
  SELECT repaired.job_id, now(), now(), 0, 'changed' FROM repaired
  ON CONFLICT (job_id) DO UPDATE SET next_try = excluded.next_try
)

-- taken --
-- Which of these names is a relation already.
SELECT c.oid::regclass::text
FROM pg_class AS c
JOIN unnest(%(names)s::text[]) WITH ORDINALITY AS asked (name, place) ON c.oid = to_regclass(asked.name)
ORDER BY asked.place

-- take_over_purged --
-- What was purged from another table stays purged in this new one, and its purged jobs are known here too. A job that
-- has had news since its purge keeps its row, as in the other table.
WITH remains AS (
  SELECT p.job_id, p.attempt, p.latest_occurred_at, p.log_id, p.log_offset, p.purged_at
  FROM {other_purged} AS p
  WHERE NOT EXISTS (SELECT FROM {other} AS row WHERE row.job_id = p.job_id)
), removed AS (
  DELETE FROM {table} AS n USING remains AS p
  WHERE n.job_id = p.job_id AND NOT (
    {guard_of_purged}
  )
  RETURNING 1
), came_back AS (
  UPDATE {table} AS n SET
    attempt = coalesce(n.attempt, p.attempt), latest_occurred_at = greatest(n.latest_occurred_at, p.latest_occurred_at)
  FROM remains AS p
  WHERE n.job_id = p.job_id AND (
    {guard_of_purged}
  )
), known AS (
  INSERT INTO {purged} (job_id, attempt, latest_occurred_at, log_id, log_offset, purged_at) SELECT * FROM remains
)
SELECT count(*) FROM removed

-- copy --
-- A new table is filled in one piece.
COPY {table} (job_id, {row_columns}, updated_at) FROM STDIN

-- analyze --
-- The planner knows nothing of a new table.
ANALYZE {table}
