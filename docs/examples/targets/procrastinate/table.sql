-- Procrastinate 3, procrastinate_jobs and what its triggers do: https://github.com/procrastinate-org/procrastinate (MIT)
CREATE TYPE procrastinate_job_status AS ENUM
  ('todo', 'doing', 'succeeded', 'failed', 'cancelled', 'aborting', 'aborted');
CREATE TYPE procrastinate_job_event_type AS ENUM
  ('deferred', 'started', 'deferred_for_retry', 'failed', 'succeeded', 'cancelled', 'abort_requested', 'aborted', 'scheduled');

CREATE TABLE procrastinate_workers (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  last_heartbeat timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE procrastinate_jobs (
  id bigserial PRIMARY KEY,
  queue_name varchar(128) NOT NULL,
  task_name varchar(128) NOT NULL,
  priority integer DEFAULT 0 NOT NULL,
  lock text,
  queueing_lock text,
  args jsonb DEFAULT '{}' NOT NULL,
  status procrastinate_job_status DEFAULT 'todo' NOT NULL,
  scheduled_at timestamptz,
  attempts integer DEFAULT 0 NOT NULL,
  abort_requested boolean DEFAULT false NOT NULL,
  worker_id bigint REFERENCES procrastinate_workers (id) ON DELETE SET NULL,
  CONSTRAINT check_not_todo_abort_requested CHECK (NOT (status = 'todo' AND abort_requested = true))
);
CREATE UNIQUE INDEX procrastinate_jobs_queueing_lock_idx_v1 ON procrastinate_jobs (queueing_lock) WHERE status = 'todo';
CREATE UNIQUE INDEX procrastinate_jobs_lock_idx_v1 ON procrastinate_jobs (lock) WHERE status = 'doing';

CREATE TABLE procrastinate_events (
  id bigserial PRIMARY KEY,
  job_id bigint NOT NULL REFERENCES procrastinate_jobs ON DELETE CASCADE,
  type procrastinate_job_event_type,
  at timestamptz DEFAULT now()
);

-- Every change of the status is noted by what it was before and is now; from todo straight to an end is a cancelling.
CREATE FUNCTION note_change_of_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO procrastinate_events (job_id, type)
  SELECT new.id, noted.type::procrastinate_job_event_type
  FROM (VALUES
    ('todo', 'doing', 'started'), ('doing', 'todo', 'deferred_for_retry'), ('doing', 'failed', 'failed'),
    ('doing', 'succeeded', 'succeeded'), ('doing', 'aborted', 'aborted'),
    ('todo', 'cancelled', 'cancelled'), ('todo', 'failed', 'cancelled'), ('todo', 'succeeded', 'cancelled')
  ) AS noted (before, after, type)
  WHERE noted.before = old.status::text AND noted.after = new.status::text;
  RETURN new;
END $$;
CREATE TRIGGER procrastinate_trigger_status_events_update_v1
  AFTER UPDATE OF status ON procrastinate_jobs FOR EACH ROW EXECUTE FUNCTION note_change_of_status();
