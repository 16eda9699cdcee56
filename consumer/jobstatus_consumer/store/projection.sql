-- The parts of a statement that write the target. Each begins after a CTE `written` with the states of some jobs, one
-- row a job, and those rows are locked. In an expression of the user's, `event` is such a state and `job` a row of the
-- target. The target's name always has its schema, so it may be the name of one of these CTEs.

-- projected --
-- A row of the target is never waited for. The row that is found is the one that is locked, and its condition is judged
-- on what is locked; then nobody else can change it. The update looks for the key once more, because a row that was
-- changed between the snapshot and the lock is at another place. LATERAL, and `by_key`, make the planner use the index of
-- the key: it does not know how few rows a batch has, and reads a table of some 10,000 rows as a whole otherwise.
, keyed AS (
  SELECT event.*,
    {keys}
  FROM written AS event
), found AS (
  SELECT event.*, job.wanted
  FROM keyed AS event
  CROSS JOIN LATERAL (
    SELECT {where} IS TRUE AS wanted FROM {target} AS job WHERE {same_row} FOR NO KEY UPDATE SKIP LOCKED
  ) AS job
), projected AS (
  UPDATE {target} AS job SET
    {assignments}
  FROM found AS event
  WHERE {same_row} AND event.wanted{by_key}
  RETURNING 1
)

-- wait --
-- A job that was not found waits: it has no row, or another session has locked the row.
, unshown AS (
  SELECT event.*
  FROM keyed AS event
  WHERE {ours} AND NOT EXISTS (SELECT FROM found WHERE found.job_id = event.job_id)
)

-- ignore --
-- Only a job whose row another session has locked waits.
, unshown AS (
  SELECT event.*
  FROM keyed AS event
  WHERE {ours} AND NOT EXISTS (SELECT FROM found WHERE found.job_id = event.job_id)
    AND EXISTS (SELECT FROM {target} AS job WHERE {same_row})
)

-- insert --
-- A row is made where the snapshot has none. A locked row is in the snapshot, and an insert would wait for it.
, inserted AS (
  INSERT INTO {target} AS job ({inserted_columns})
  SELECT
    {inserted_values}
  FROM keyed AS event
  CROSS JOIN (SELECT {no_row}) AS job
  WHERE {ours} AND NOT EXISTS (SELECT FROM {target} AS job WHERE {same_row})
  ORDER BY {key_names}
  ON CONFLICT ({key_columns}) DO NOTHING
  RETURNING {key_columns}
), unshown AS (
  SELECT event.*
  FROM keyed AS event
  WHERE {ours} AND NOT EXISTS (SELECT FROM found WHERE found.job_id = event.job_id)
    AND NOT EXISTS (SELECT FROM inserted AS job WHERE {same_row})
)

-- parked --
-- The waiting rows change only under the lock on their state. `= ANY (ARRAY(...))` reads them by their key; a join would
-- read all of them. A job that waits already goes on waiting as it is; its row is locked, so that `due` cannot drop it.
, parked AS (
  INSERT INTO {waiting} AS w (job_id, since, next_try, tries, reason)
  SELECT event.job_id, now(), now(), 0,
    CASE WHEN EXISTS (SELECT FROM {target} AS job WHERE {same_row}) THEN 'locked' ELSE 'no row' END
  FROM unshown AS event
  ON CONFLICT (job_id) DO UPDATE SET reason = w.reason WHERE false
  RETURNING 1
), arrived AS (
  DELETE FROM {waiting} AS w
  WHERE w.job_id = ANY (ARRAY(
    SELECT event.job_id FROM keyed AS event
    WHERE NOT EXISTS (SELECT FROM unshown WHERE unshown.job_id = event.job_id)
  ))
  RETURNING 1
)

-- counts --
-- How many rows were changed, made, parked and no longer wait; how many states are not ours; how many rows a trigger kept.
, (SELECT count(*) FROM projected), {inserted_count}, (SELECT count(*) FROM parked), (SELECT count(*) FROM arrived),
(SELECT count(*) FROM keyed AS event WHERE NOT ({ours})),
(SELECT count(*) FROM found WHERE wanted) - (SELECT count(*) FROM projected)

-- settle --
-- What waits, tried again as in a batch. A job whose state or whose waiting row another session has locked is left out, so
-- this statement waits for no row.
WITH written AS (
  SELECT {returned}
  FROM {waiting} AS w
  JOIN {table} AS t ON t.job_id = w.job_id
  WHERE w.job_id = ANY (ARRAY(SELECT json_array_elements_text(%(jobs)s)))
  FOR NO KEY UPDATE OF t SKIP LOCKED
  FOR UPDATE OF w SKIP LOCKED
){projection}
SELECT 0, 0{counts}

-- probe --
-- Whether one expression of the target file can be used at all. It reads no row.
SELECT {expression} FROM {table} AS event, {target} AS job WHERE false

-- due --
-- The next jobs to try, in the order of their ids. A job whose state is gone (somebody deleted it) has nothing to show.
WITH page AS (
  SELECT w.job_id FROM {waiting} AS w
  WHERE w.next_try <= now() AND w.job_id > %(after)s
  ORDER BY w.job_id
  LIMIT %(limit)s
), stateless AS (
  SELECT w.job_id FROM {waiting} AS w
  WHERE w.job_id = ANY (ARRAY(SELECT job_id FROM page))
    AND NOT EXISTS (SELECT FROM {table} AS t WHERE t.job_id = w.job_id)
  FOR UPDATE SKIP LOCKED
), dropped AS (
  DELETE FROM {waiting} AS w WHERE w.job_id = ANY (ARRAY(SELECT job_id FROM stateless))
)
SELECT job_id FROM page ORDER BY job_id

-- postpone --
-- A job whose row the server refuses is tried more and more rarely: after 2, 4, 8 seconds, and at last every 5 minutes.
UPDATE {waiting} AS w SET
  tries = least(w.tries + 1, 1000),
  next_try = now() + interval '1 second' * least(300, power(2, least(w.tries + 1, 10))),
  reason = %(reason)s
WHERE w.job_id = %(job)s
RETURNING 1
