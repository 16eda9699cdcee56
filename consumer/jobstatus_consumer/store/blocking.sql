-- Which sessions keep others from writing the managed table. Ages are in seconds; of another role's session they are
-- unknown, unless this role may read all statistics.

-- holders --
-- The other sessions whose locks on the two tables keep rows or a whole table from being written: a lock on a whole
-- table first, then the oldest transaction. A prepared transaction has no session.
SELECT l.pid, coalesce(a.application_name, ''),
       extract(epoch FROM clock_timestamp() - a.query_start)::float8,
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8,
       NULL::text,
       bool_or(l.mode NOT IN ('RowShareLock', 'RowExclusiveLock')) AS whole
FROM pg_locks AS l
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND (
    l.relation IN (to_regclass(%(table)s), to_regclass(%(progress)s))
    OR l.relation = to_regclass(%(target)s) AND l.mode NOT IN ('RowShareLock', 'RowExclusiveLock')
  )
  AND l.mode NOT IN ('AccessShareLock', 'ShareUpdateExclusiveLock')
GROUP BY l.pid, a.application_name, a.query_start, a.xact_start
ORDER BY whole DESC, a.xact_start

-- readers --
-- The other sessions whose transactions have used one of the tables, also by reading, the oldest first: a change of a
-- table waits for each of them. Of the server's own processes only an autovacuum has such a lock; it has no user.
SELECT l.pid,
       CASE WHEN a.pid IS NOT NULL AND a.usesysid IS NULL THEN 'autovacuum' ELSE coalesce(a.application_name, '') END,
       extract(epoch FROM clock_timestamp() - a.query_start)::float8,
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8,
       NULL::text, false
FROM pg_locks AS l
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND l.relation IN (
    to_regclass(%(table)s), to_regclass(%(progress)s), to_regclass(%(purged)s), to_regclass(%(waiting)s),
    to_regclass(%(audit)s)
  )
ORDER BY a.xact_start
LIMIT 1

-- locked_row --
-- The first of these jobs whose row another session has locked, and that session, unless several share the lock.
WITH free AS MATERIALIZED (
  SELECT t.job_id FROM {table} AS t
  WHERE t.job_id IN (SELECT json_array_elements_text(%(jobs)s))
  FOR NO KEY UPDATE SKIP LOCKED
)
SELECT t.job_id, l.pid
FROM {table} AS t
LEFT JOIN pg_locks AS l ON l.locktype = 'transactionid' AND l.granted AND l.transactionid = t.xmax
WHERE t.job_id IN (SELECT json_array_elements_text(%(jobs)s))
  AND NOT EXISTS (SELECT FROM free WHERE free.job_id = t.job_id)
ORDER BY t.job_id
LIMIT 1

-- blockers --
-- The sessions that others wait for which want to write the table now, and the job whose row is waited for.
SELECT DISTINCT blocker.pid, coalesce(a.application_name, ''),
       extract(epoch FROM clock_timestamp() - a.query_start)::float8,
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8,
       (SELECT t.job_id FROM {table} AS t
        WHERE t.ctid = (
          SELECT format('(%%s,%%s)', r.page, r.tuple)::tid FROM pg_locks AS r
          WHERE r.pid = w.pid AND r.locktype = 'tuple' AND r.relation = to_regclass(%(table)s) LIMIT 1
        )),
       w.locktype = 'relation'
FROM pg_locks AS w
CROSS JOIN unnest(pg_blocking_pids(w.pid)) AS blocker (pid)
LEFT JOIN pg_stat_activity AS a ON a.pid = blocker.pid
WHERE NOT w.granted AND EXISTS (
  SELECT FROM pg_locks AS l
  WHERE l.pid = w.pid AND l.locktype = 'relation' AND l.relation IN (to_regclass(%(table)s), to_regclass(%(progress)s))
)

-- rows_of --
-- Up to two rows that this session's transaction has changed or locked. It reads the whole table.
SELECT t.job_id
FROM {table} AS t
JOIN pg_locks AS l ON l.locktype = 'transactionid' AND l.granted AND l.transactionid = t.xmax
WHERE l.pid = %(pid)s
LIMIT 2
