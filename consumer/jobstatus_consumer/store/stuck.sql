-- What `stuck` and the metric of overdue jobs ask. A job is overdue if the event that its row shows is older than the
-- deadline of its status. An event's time is its occurred_at, but no later than the broker appended it; and that is no
-- later than latest_occurred_at. A deadline is the limit of that time, in microseconds.

-- overdue --
-- The overdue jobs that have been silent longest, each with the beginning of its message.
SELECT
  t.job_id, t.status, t.attempt, t.worker_id, left(t.error_message, %(letters)s),
  extract(epoch FROM least(t.occurred_at, t.latest_occurred_at))::double precision
FROM {table} AS t
JOIN json_to_recordset(%(deadlines)s) AS d (s text, b bigint) ON d.s = t.status
WHERE least(t.occurred_at, t.latest_occurred_at) < timestamptz 'epoch' + d.b * interval '1 microsecond'
  AND isfinite(least(t.occurred_at, t.latest_occurred_at))
ORDER BY least(t.occurred_at, t.latest_occurred_at), t.job_id
LIMIT %(rows)s

-- overdue_by_status --
-- How many jobs are overdue, by status; zero where none is.
SELECT d.s, count(t.job_id)
FROM json_to_recordset(%(deadlines)s) AS d (s text, b bigint)
LEFT JOIN {table} AS t ON t.status = d.s
  AND least(t.occurred_at, t.latest_occurred_at) < timestamptz 'epoch' + d.b * interval '1 microsecond'
GROUP BY d.s
ORDER BY d.s

-- estimated_by_status --
-- About how many rows have each status, as the statistics of the last ANALYZE say; nothing before the first one.
SELECT v.status, round(c.reltuples * v.frequency)::double precision
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_stats AS s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = 'status' AND NOT s.inherited
CROSS JOIN LATERAL unnest(s.most_common_vals::text::text[], s.most_common_freqs) AS v (status, frequency)
WHERE c.oid = to_regclass(%(table)s) AND c.reltuples >= 0
ORDER BY v.status
