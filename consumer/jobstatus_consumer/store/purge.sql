-- What `purge` asks and does. A row is finished if it has one of the statuses and no event of its job is as new as the
-- limit, which is in microseconds. A row without a position is another program's: it is never purged.

-- counts --
-- By status: the finished rows, the time of the oldest, and how many of them another program wrote.
SELECT
  t.status,
  count(*) FILTER (WHERE t.log_id IS NOT NULL AND t.log_offset IS NOT NULL),
  count(*) FILTER (WHERE t.log_id IS NULL OR t.log_offset IS NULL),
  extract(epoch FROM min(t.latest_occurred_at) FILTER (WHERE isfinite(t.latest_occurred_at)))::double precision
FROM {table} AS t
WHERE t.status IN (SELECT json_array_elements_text(%(statuses)s))
  AND t.latest_occurred_at < timestamptz 'epoch' + %(limit)s * interval '1 microsecond'
GROUP BY t.status
ORDER BY t.status

-- digest --
-- Names the finished rows that `counts` counts, in any order.
SELECT count(*)::text || ':' || coalesce(sum(hashtextextended(t.job_id, 0)::numeric), 0)::text
FROM {table} AS t
WHERE t.status IN (SELECT json_array_elements_text(%(statuses)s))
  AND t.latest_occurred_at < timestamptz 'epoch' + %(limit)s * interval '1 microsecond'
  AND t.log_id IS NOT NULL AND t.log_offset IS NOT NULL

-- list_finished --
-- The finished rows, read once in the order in which they are stored. The server keeps the list (WITH HOLD): an open
-- snapshot would keep VACUUM from what is removed.
DECLARE finished CURSOR WITH HOLD FOR
SELECT t.job_id
FROM {table} AS t
WHERE t.status IN (SELECT json_array_elements_text(%(statuses)s))
  AND t.latest_occurred_at < timestamptz 'epoch' + %(limit)s * interval '1 microsecond'
  AND t.log_id IS NOT NULL AND t.log_offset IS NOT NULL

-- finished --
-- The next ones of that list.
FETCH FORWARD 20000 FROM finished

-- gate --
-- Every statement that writes rows also writes the progress. So while this lock is held none of them runs, and the next
-- one sees what was purged: PostgreSQL takes a statement's snapshot after its locks.
LOCK TABLE {progress} IN SHARE ROW EXCLUSIVE MODE

-- purge --
-- Removes these rows if they are finished still, and keeps what the rule compares of them. A row that another session
-- has locked is left for another time.
WITH chosen AS (
  SELECT t.job_id FROM {table} AS t
  WHERE t.job_id IN (SELECT json_array_elements_text(%(jobs)s))
    AND t.status IN (SELECT json_array_elements_text(%(statuses)s))
    AND t.latest_occurred_at < timestamptz 'epoch' + %(limit)s * interval '1 microsecond'
    AND t.log_id IS NOT NULL AND t.log_offset IS NOT NULL
  ORDER BY t.job_id
  FOR UPDATE SKIP LOCKED
), removed AS (
  DELETE FROM {table} AS t USING chosen WHERE t.job_id = chosen.job_id
  RETURNING t.job_id, t.attempt, t.latest_occurred_at, t.log_id, t.log_offset
), kept AS (
  INSERT INTO {purged} AS p (job_id, attempt, latest_occurred_at, log_id, log_offset, purged_at)
  SELECT r.job_id, r.attempt, r.latest_occurred_at, r.log_id, r.log_offset, now() FROM removed AS r
  ON CONFLICT (job_id) DO UPDATE SET
    attempt = excluded.attempt, latest_occurred_at = excluded.latest_occurred_at, log_id = excluded.log_id,
    log_offset = excluded.log_offset, purged_at = excluded.purged_at
  RETURNING 1
){unparked}
SELECT count(*) FROM kept

-- unparked --
-- Where jobs wait for their row in a target: a purged job has no state to write there any more. The target keeps its row.
, unparked AS (
  DELETE FROM {waiting} AS w WHERE w.job_id = ANY (ARRAY(SELECT job_id FROM removed)) RETURNING 1
)

-- analyze --
-- The planner must not take the table of purged jobs for an empty one.
ANALYZE {purged}

-- forget --
-- Forgets the next purged jobs of which nothing can come any more: they were purged before the limit, and their log no
-- longer has the offset, or is no log of the topic. Returns how many were looked at, how many are forgotten, and the
-- last one looked at.
WITH page AS (
  SELECT p.job_id, p.log_id, p.log_offset, p.purged_at
  FROM {purged} AS p
  WHERE p.job_id > %(after)s
  ORDER BY p.job_id
  LIMIT %(page)s
), forgotten AS (
  DELETE FROM {purged} AS p USING page
  LEFT JOIN json_to_recordset(%(logs)s) AS held (l text, n bigint) ON held.l = page.log_id
  WHERE p.job_id = page.job_id
    AND page.purged_at < timestamptz 'epoch' + %(limit)s * interval '1 microsecond'
    AND coalesce(page.log_offset < held.n, true)
  RETURNING 1
)
SELECT (SELECT count(*) FROM page), (SELECT count(*) FROM forgotten), (SELECT max(page.job_id) FROM page)
