-- What `check` asks of the target. All but `words` and `checked` read the catalog alone.

-- usage --
-- Whether this role may use the schema.
SELECT has_schema_privilege(n.oid, 'USAGE') FROM pg_namespace AS n WHERE n.nspname = %(schema)s

-- role --
-- The role of this session.
SELECT current_user::text

-- schema --
-- The schema of this table, or of a table that this session makes under its name.
SELECT coalesce(
  (SELECT n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%(name)s)),
  %(schema)s, current_schema()
)::text

-- lacking --
-- Which of these rights on columns the role lacks.
SELECT r.privilege, r.name
FROM json_to_recordset(%(rights)s) AS r (privilege text, name text)
WHERE NOT has_column_privilege(to_regclass(%(target)s), r.name, r.privilege)

-- triggers --
-- The triggers that run before a row is written, and whether they run at an INSERT. They may change or keep the row.
SELECT DISTINCT g.tgname::text, g.tgtype & 4 = 4
FROM pg_trigger AS g
WHERE g.tgrelid IN (
    SELECT to_regclass(%(target)s)
    UNION SELECT part.relid FROM pg_partition_tree(to_regclass(%(target)s)) AS part
  )
  AND NOT g.tgisinternal AND g.tgenabled IN ('O', 'A') AND g.tgtype & 3 = 3 AND g.tgtype & 20 <> 0
ORDER BY 1

-- constraints --
-- The CHECK constraints: name, condition, and the columns that it is about.
SELECT c.conname::text, pg_get_expr(c.conbin, c.conrelid),
       ARRAY(SELECT a.attname::text FROM pg_attribute AS a WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey))
FROM pg_constraint AS c
WHERE c.conrelid = to_regclass(%(target)s) AND c.contype = 'c'
ORDER BY 1

-- samples --
-- Two states for each word, one with a message, an attempt and a worker, and one without; and a row without values.
(
  SELECT word.status, filled.is_so AS is_filled, 'job'::text AS job_id,
    CASE WHEN filled.is_so THEN 'message' END AS error_message,
    CASE WHEN filled.is_so THEN 1 END AS attempt,
    CASE WHEN filled.is_so THEN 'worker' END AS worker_id,
    now() AS occurred_at, now() AS latest_occurred_at, now() AS updated_at,
    '00000000-0000-4000-8000-000000000000'::uuid AS event_id, 'log'::text AS log_id, 0::bigint AS log_offset
  FROM json_array_elements_text(%(words)s) AS word (status)
  CROSS JOIN (VALUES (true), (false)) AS filled (is_so)
) AS event
CROSS JOIN (SELECT {no_row}) AS job

-- word --
-- The value for a column, for each word: whether it is NULL, and how many characters it has.
SELECT event.status, event.is_filled, {value} IS NULL, char_length(CAST({value} AS text))
FROM {samples}

-- checked --
-- The words that make a row which this CHECK constraint refuses. The names of the columns alone are known to it.
SELECT DISTINCT made."jobstatus word"
FROM (
  SELECT event.status AS "jobstatus word",
    {values}
  FROM {samples}
) AS made
WHERE NOT {condition}
