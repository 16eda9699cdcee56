-- Airflow 2.10, the table task_instance without its foreign keys: https://github.com/apache/airflow (Apache-2.0)
CREATE TABLE task_instance (
  task_id varchar(250) NOT NULL,
  dag_id varchar(250) NOT NULL,
  run_id varchar(250) NOT NULL,
  map_index integer NOT NULL DEFAULT -1,
  start_date timestamptz,
  end_date timestamptz,
  duration double precision,
  state varchar(20),
  try_number integer,
  max_tries integer DEFAULT -1,
  hostname varchar(1000),
  unixname varchar(1000),
  job_id integer,
  pool varchar(256) NOT NULL,
  pool_slots integer NOT NULL,
  queue varchar(256),
  priority_weight integer,
  operator varchar(1000),
  queued_dttm timestamptz,
  pid integer,
  executor_config bytea,
  updated_at timestamptz,
  trigger_id integer,
  next_method varchar(1000),
  next_kwargs json,
  CONSTRAINT task_instance_pkey PRIMARY KEY (dag_id, task_id, run_id, map_index)
);
CREATE INDEX ti_dag_run ON task_instance (dag_id, run_id);
CREATE INDEX ti_pool ON task_instance (pool, state, priority_weight);
CREATE INDEX ti_state ON task_instance (state);
CREATE INDEX ti_state_lkp ON task_instance (dag_id, task_id, run_id, state);
