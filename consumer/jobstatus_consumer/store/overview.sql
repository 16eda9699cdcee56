-- What `status` asks of the database.

-- progress --
-- How far the database has each log, and when it got there, in seconds since 1970-01-01 UTC.
SELECT log_id, next_offset, extract(epoch FROM updated_at)::double precision FROM {progress}

-- clock --
-- What time it is for the server, in seconds since 1970-01-01 UTC.
SELECT extract(epoch FROM clock_timestamp())::double precision

-- estimated_rows --
-- What the planner takes for the number of rows; below zero before the table was analyzed for the first time.
SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(%(table)s)
