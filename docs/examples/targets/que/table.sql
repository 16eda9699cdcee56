-- Que 2, the table que_jobs after migration 7, with its trigger on every change: https://github.com/que-rb/que (MIT)
CREATE TABLE que_jobs (
  priority smallint DEFAULT 100 NOT NULL,
  run_at timestamptz DEFAULT now() NOT NULL,
  id bigserial PRIMARY KEY,
  job_class text NOT NULL,
  error_count integer DEFAULT 0 NOT NULL,
  last_error_message text,
  queue text DEFAULT 'default' NOT NULL,
  last_error_backtrace text,
  finished_at timestamptz,
  expired_at timestamptz,
  args jsonb DEFAULT '[]' NOT NULL,
  data jsonb DEFAULT '{}' NOT NULL,
  job_schema_version integer NOT NULL,
  kwargs jsonb DEFAULT '{}' NOT NULL,
  CONSTRAINT error_length CHECK (char_length(last_error_message) <= 500 AND char_length(last_error_backtrace) <= 10000),
  CONSTRAINT queue_length CHECK (char_length(queue) <= 100),
  CONSTRAINT valid_args CHECK (jsonb_typeof(args) = 'array')
) WITH (fillfactor = 90);
CREATE INDEX que_poll_idx ON que_jobs (job_schema_version, queue, priority, run_at, id)
  WHERE finished_at IS NULL AND expired_at IS NULL;

CREATE FUNCTION que_state_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('que_state', json_build_object('queue', new.queue, 'job_class', new.job_class)::text);
  RETURN null;
END $$;
CREATE TRIGGER que_state_notify AFTER INSERT OR UPDATE ON que_jobs FOR EACH ROW EXECUTE FUNCTION que_state_notify();
