-- What consumers and commands ask of the table of waiting jobs. Times are seconds.

-- readable --
-- Whether there is such a table, and this role may read it.
SELECT coalesce(has_table_privilege(to_regclass(%(waiting)s), 'SELECT'), false)

-- now --
-- How many jobs wait, and for how many seconds the oldest of them has.
SELECT count(*), coalesce(extract(epoch FROM now() - min(w.since)), 0)::float8 FROM {waiting} AS w

-- reasons --
-- Why jobs wait: for each reason the number of jobs, the age of the oldest, and the most tries.
SELECT w.reason, count(*), extract(epoch FROM now() - min(w.since))::float8, max(w.tries)
FROM {waiting} AS w
GROUP BY w.reason
ORDER BY 2 DESC, 1
LIMIT 100

-- job --
-- Why this job waits, for how long, how often its row was refused, and when it is tried next.
SELECT w.reason, extract(epoch FROM now() - w.since)::float8, w.tries,
       greatest(0, extract(epoch FROM w.next_try - now()))::float8
FROM {waiting} AS w
WHERE w.job_id = %(job)s
