-- What `status` asks of the database.

-- progress --
-- How far the database has each log, and when it got there, in seconds since 1970-01-01 UTC.
SELECT log_id, next_offset, extract(epoch FROM updated_at)::double precision FROM {progress}

-- blocked --
-- Which session holds the lock that a statement of ours waits for. A role that may not see another role's session
-- gets nulls.
SELECT ours.pid, coalesce(extract(epoch FROM clock_timestamp() - ours.query_start), 0)::double precision,
       blocking.pid, coalesce(theirs.application_name, ''), coalesce(theirs.state, ''),
       coalesce(extract(epoch FROM clock_timestamp() - theirs.xact_start), 0)::double precision
FROM pg_stat_activity AS ours
CROSS JOIN LATERAL unnest(pg_blocking_pids(ours.pid)) AS blocking (pid)
LEFT JOIN pg_stat_activity AS theirs ON theirs.pid = blocking.pid
WHERE ours.datname = current_database() AND ours.application_name = 'jobstatus' AND ours.pid <> pg_backend_pid()
ORDER BY 1, 3
