-- pg-boss 11, pgboss.job with its partition for ordinary queues: https://github.com/timgit/pg-boss (MIT)
CREATE SCHEMA pgboss;
CREATE TYPE pgboss.job_state AS ENUM ('created', 'retry', 'active', 'completed', 'cancelled', 'failed');

CREATE TABLE pgboss.job (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  name text NOT NULL,
  priority integer NOT NULL DEFAULT 0,
  data jsonb,
  state pgboss.job_state NOT NULL DEFAULT 'created',
  retry_limit integer NOT NULL DEFAULT 2,
  retry_count integer NOT NULL DEFAULT 0,
  retry_delay integer NOT NULL DEFAULT 0,
  retry_backoff boolean NOT NULL DEFAULT false,
  singleton_key text,
  singleton_on timestamp,
  start_after timestamptz NOT NULL DEFAULT now(),
  created_on timestamptz NOT NULL DEFAULT now(),
  started_on timestamptz,
  completed_on timestamptz,
  keep_until timestamptz NOT NULL DEFAULT now() + interval '14 days',
  output jsonb,
  dead_letter text,
  policy text,
  PRIMARY KEY (name, id)
) PARTITION BY LIST (name);

CREATE TABLE pgboss.job_common (LIKE pgboss.job INCLUDING DEFAULTS, PRIMARY KEY (name, id));
CREATE UNIQUE INDEX job_common_i2 ON pgboss.job_common (name, coalesce(singleton_key, ''))
  WHERE state = 'active' AND policy = 'singleton';
CREATE INDEX job_common_i5 ON pgboss.job_common (name, start_after) WHERE state < 'active';
ALTER TABLE pgboss.job ATTACH PARTITION pgboss.job_common DEFAULT;
