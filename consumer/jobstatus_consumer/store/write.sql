-- The statements of the writer. rule.py is the same rule in Python.
-- A batch comes as one JSON list for each column, because that is the least work for both sides. Times are in
-- microseconds. Of a log, l is its id, b the first offset of the batch, n the next offset after the batch, e the leader
-- epoch before that, and k says whether this session has seen the log's progress before.

-- guard --
-- Whether a new row may change what is there: a row, or what a purge has left of it.
    -- a lower attempt never wins; an event without an attempt takes the row's
    (excluded.attempt < t.attempt) IS NOT TRUE
    AND CASE
      -- a row that another program wrote: always
      WHEN t.log_id IS NULL OR t.log_offset IS NULL THEN true
      -- the same log: the log's order decides, and a late event must also be newer
      WHEN t.log_id = excluded.log_id AND excluded.log_offset <= t.log_offset THEN false
      WHEN t.log_id = excluded.log_id AND NOT %(late_jobs)s ? excluded.job_id THEN true
      -- a late event, or another log: a higher attempt, or a higher time than the row ever had
      ELSE (excluded.attempt > t.attempt OR excluded.attempt IS NOT NULL AND t.attempt IS NULL) IS TRUE
        OR (excluded.latest_occurred_at <= t.latest_occurred_at) IS NOT TRUE
    END

-- write --
-- One statement, and so one transaction, for a batch: the rows under the guard, and the progress of the logs.
-- Without a target `projection` and `counts` are empty; otherwise they are made from projection.sql. `refused` is the
-- block of that name where several batches may be in flight, and empty otherwise.
-- "late_jobs" is an object whose keys are the jobs with a late event, since the guard sees only the table's columns.
WITH written AS (
  INSERT INTO {table} AS t (
    job_id, attempt, latest_occurred_at, log_id, log_offset, updated_at,
    {content}
  )
  SELECT
    -- a job that comes back after its purge goes on with the attempt and the time that it had
    n.job_id, coalesce(n.attempt, p.attempt), greatest(n.latest_occurred_at, p.latest_occurred_at),
    n.log_id, n.log_offset, now(),
    {content_of_new}
  FROM (
    SELECT
      {made}
    FROM ROWS FROM (
      {json_lists}
    ) AS sent ({sent})
  ) AS n
  LEFT JOIN LATERAL (
    -- what a purge has left of the job, while the job has no row; one lookup for each row keeps the rows' order. The
    -- first condition is asked once: without any purge there is nothing to look up.
    SELECT p.* FROM {purged} AS p
    WHERE (SELECT EXISTS (SELECT FROM {purged}))
      AND p.job_id = n.job_id AND NOT EXISTS (SELECT FROM {table} AS row WHERE row.job_id = p.job_id)
    LIMIT 1
  ) AS p ON true
  WHERE p.job_id IS NULL OR (
    {guard_of_purged}
  )
  ON CONFLICT (job_id) DO UPDATE SET
    {content_from_excluded},
    attempt = coalesce(excluded.attempt, t.attempt),
    latest_occurred_at = CASE
      WHEN t.log_id IS NULL OR t.log_offset IS NULL THEN excluded.latest_occurred_at
      ELSE greatest(t.latest_occurred_at, excluded.latest_occurred_at) END,
    log_id = excluded.log_id,
    log_offset = excluded.log_offset,
    updated_at = excluded.updated_at
  WHERE
    {guard}
  RETURNING {returned}
){projection}, advanced AS (
  -- what the database itself has: it never goes back, and never skips what it has not seen or has forgotten
  INSERT INTO {progress} AS p (log_id, next_offset, leader_epoch, first_offset, updated_at)
  SELECT l, n, e, b, now()
  FROM json_to_recordset(%(logs)s) AS s (l text, b bigint, n bigint, e integer, k boolean)
  LEFT JOIN {progress} AS known ON known.log_id = s.l
  WHERE CASE WHEN known.log_id IS NULL THEN NOT k ELSE known.next_offset >= b END
  ORDER BY l
  ON CONFLICT (log_id) DO UPDATE SET
    next_offset = excluded.next_offset, leader_epoch = excluded.leader_epoch, updated_at = excluded.updated_at
  WHERE p.next_offset < excluded.next_offset
  RETURNING 1
)
SELECT (SELECT count(*) FROM written), (SELECT count(*) FROM advanced){counts}{refused}

-- progress --
-- How far the database has each of these logs.
SELECT p.log_id, p.next_offset
FROM {progress} AS p
JOIN json_array_elements_text(%(logs)s) AS asked (log_id) ON asked.log_id = p.log_id

-- topic_progress --
-- Every log of a topic that the database has, including those of a deleted topic of the same name.
SELECT p.log_id, p.next_offset, p.leader_epoch FROM {progress} AS p WHERE starts_with(p.log_id, %(prefix)s)

-- refused --
-- The jobs that the statement did not change, and what the rule compares of them as they were before it. A later question
-- would see what the batches behind have done since. CASE reads nothing in the usual case, where every row was written.
, CASE WHEN (SELECT count(*) FROM written) < json_array_length(%(job_id)s) THEN (
  SELECT json_agg(json_build_array(asked.job_id, t.job_id IS NOT NULL, {state}))
  FROM json_array_elements_text(%(job_id)s) AS asked (job_id)
  LEFT JOIN LATERAL {known} AS t ON true
  WHERE asked.job_id NOT IN (SELECT w.job_id FROM written AS w)
) END

-- known --
-- What the rule compares of one job: of its row, or of what a purge has left.
(
  SELECT t.job_id, t.attempt, t.latest_occurred_at, t.log_id, t.log_offset FROM {table} AS t
  WHERE t.job_id = asked.job_id
  UNION ALL
  SELECT p.job_id, p.attempt, p.latest_occurred_at, p.log_id, p.log_offset FROM {purged} AS p
  WHERE p.job_id = asked.job_id AND NOT EXISTS (SELECT FROM {table} AS row WHERE row.job_id = p.job_id)
)

-- known_states --
-- What the rule compares of these jobs: of their rows, or of what a purge has left. Asked where the guard refused some
-- events.
SELECT
  t.job_id,
  {state}
FROM json_array_elements_text(%(jobs)s) AS asked (job_id)
JOIN LATERAL {known} AS t ON true

-- constrained --
-- The columns that a constraint, a unique index or a column of this name is about, in the table or its partitions.
WITH ours AS (
  SELECT to_regclass(%(table)s)::oid AS id
  UNION SELECT t.relid FROM pg_partition_tree(to_regclass(%(table)s)) AS t
), numbers AS (
  SELECT c.conrelid AS id, unnest(c.conkey) AS number FROM pg_constraint AS c WHERE c.conname = %(where)s
  UNION SELECT i.indrelid, unnest(i.indkey) FROM pg_index AS i
  JOIN pg_class AS named ON named.oid = i.indexrelid WHERE named.relname = %(where)s
  UNION SELECT a.attrelid, a.attnum FROM pg_attribute AS a WHERE a.attname = %(where)s
)
SELECT DISTINCT a.attname::text
FROM numbers AS n
JOIN ours ON ours.id = n.id
JOIN pg_attribute AS a ON a.attrelid = n.id AND a.attnum = n.number
ORDER BY 1
