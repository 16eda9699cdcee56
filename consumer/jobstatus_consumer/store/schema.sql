-- The managed table and its progress table, as `migrate` creates them.

-- table --
-- fillfactor 70 leaves room for the new version of a row on its own page; no index on a column that changes.
CREATE TABLE {table} (
  job_id text PRIMARY KEY,
  status text,
  error_message text,
  attempt integer,
  worker_id text,
  occurred_at timestamptz,
  event_id uuid,
  latest_occurred_at timestamptz,
  log_id text,
  log_offset bigint,
  updated_at timestamptz
) WITH (fillfactor = 70)

-- progress_table --
-- For each log the next offset that the database knows to need: written in the same statement as the rows.
CREATE TABLE {progress} (
  log_id text PRIMARY KEY,
  next_offset bigint NOT NULL,
  updated_at timestamptz NOT NULL
) WITH (fillfactor = 70)
