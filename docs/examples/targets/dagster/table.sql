-- Dagster 1.9, the table runs without its foreign key: https://github.com/dagster-io/dagster (Apache-2.0)
CREATE TABLE runs (
  id bigserial PRIMARY KEY,
  run_id varchar(255) UNIQUE,
  snapshot_id varchar(255),
  pipeline_name text,
  mode text,
  status varchar(63),
  run_body text,
  partition text,
  partition_set text,
  create_timestamp timestamp DEFAULT CURRENT_TIMESTAMP,
  update_timestamp timestamp DEFAULT CURRENT_TIMESTAMP,
  start_time double precision,
  end_time double precision,
  backfill_id varchar(255)
);
CREATE INDEX idx_run_status ON runs (status);
CREATE INDEX idx_run_range ON runs (status, update_timestamp, create_timestamp);
