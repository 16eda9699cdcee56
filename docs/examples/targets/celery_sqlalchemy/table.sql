-- Celery 5, the model Task of its SQLAlchemy backend: https://github.com/celery/celery (BSD-3-Clause)
CREATE SEQUENCE task_id_sequence;
CREATE TABLE celery_taskmeta (
  id integer PRIMARY KEY DEFAULT nextval('task_id_sequence'),
  task_id varchar(155) UNIQUE,
  status varchar(50),
  result bytea,
  date_done timestamp,
  traceback text
);
