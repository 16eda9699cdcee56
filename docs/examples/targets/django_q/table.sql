-- Django Q2 1.8, the model Task: https://github.com/django-q2/django-q2 (MIT)
CREATE TABLE django_q_task (
  name varchar(100) NOT NULL,
  func varchar(256) NOT NULL,
  hook varchar(256),
  args text,
  kwargs text,
  result text,
  started timestamptz NOT NULL,
  stopped timestamptz NOT NULL,
  success boolean NOT NULL,
  id varchar(32) PRIMARY KEY,
  "group" varchar(100),
  attempt_count integer NOT NULL,
  cluster varchar(100)
);
CREATE INDEX django_q_task_id_32882367_like ON django_q_task (id varchar_pattern_ops);
CREATE INDEX success_index ON django_q_task ("group", name, func) WHERE success;
