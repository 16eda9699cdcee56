-- The statements of `migrate`, `check` and `status`. None of them runs while events are written.

-- lock --
-- Two migrations at the same time wait for each other. The number is arbitrary.
SELECT pg_advisory_xact_lock(7021946180417)

-- columns --
-- The columns of the table of this name; no rows if there is no table. A column that must be filled and is not ours
-- breaks every insert.
SELECT a.attname, format_type(a.atttypid, a.atttypmod),
       a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS must_be_filled,
       EXISTS (
         SELECT FROM pg_index AS i
         WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
           AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
       ) AS is_key
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
WHERE a.attrelid = to_regclass(%(table)s) AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p')
ORDER BY a.attnum

-- kind --
-- Which kind of relation has this name, if any.
SELECT c.relkind::text FROM pg_class AS c WHERE c.oid = to_regclass(%(table)s)

-- comment --
-- The comment on the table, and whether this role may write one.
SELECT obj_description(c.oid, 'pg_class'), pg_has_role(c.relowner, 'USAGE')
FROM pg_class AS c WHERE c.oid = to_regclass(%(table)s)

-- missing_privileges --
-- The privileges on the table that this role lacks.
SELECT privilege
FROM unnest(%(needed)s::text[]) WITH ORDINALITY AS needed (privilege, place)
WHERE NOT has_table_privilege(to_regclass(%(table)s), privilege)
ORDER BY place

-- may_make --
-- The schema that a new table goes to, whether it exists, whether this role may create tables in it, and the remedy.
SELECT place.schema, n.oid IS NOT NULL, coalesce(has_schema_privilege(n.oid, 'CREATE'), false), current_user::text,
       CASE WHEN n.oid IS NULL THEN format('CREATE SCHEMA %%I', coalesce(place.schema, current_user))
         ELSE format('GRANT CREATE ON SCHEMA %%I TO %%I', place.schema, current_user) END
FROM (SELECT coalesce(%(schema)s::text, nullif(current_schema()::text, 'pg_catalog'))) AS place (schema)
LEFT JOIN pg_namespace AS n ON n.nspname = place.schema

-- closed_schemas --
-- The schemas that this role may not use, and in which the table may be: the one in its name, or those of the user's
-- search_path where it is not found. A question about a table in such a schema is an error. The last column is the open
-- schema that a new table would go to; it is NULL for a name with a schema, and where there is none.
SELECT n.nspname::text, current_user::text,
       CASE WHEN %(schema)s::text IS NULL THEN nullif(current_schema()::text, 'pg_catalog') END
FROM pg_namespace AS n
WHERE NOT has_schema_privilege(n.oid, 'USAGE')
  AND CASE WHEN %(schema)s::text IS NOT NULL THEN n.nspname = %(schema)s::text
    ELSE to_regclass(%(table)s) IS NULL AND n.nspname IN (
      SELECT CASE WHEN part.name = '$user' THEN current_user::text ELSE part.name END
      FROM pg_settings AS s, unnest(string_to_array(s.reset_val, ',')) AS given (name),
        trim(given.name, ' "') AS part (name)
      WHERE s.name = 'search_path'
    ) END
ORDER BY 1

-- server --
-- Whether we can use this server at all.
SELECT current_setting('server_version_num')::integer, current_setting('server_version'), pg_is_in_recovery(),
       current_setting('default_transaction_read_only') = 'on', current_setting('server_encoding'), current_user::text

-- rows_by_status --
-- For `status`. A row that another program wrote may have no status.
SELECT coalesce(status, ''), count(*) FROM {table} GROUP BY 1 ORDER BY 2 DESC, 1

-- hides_rows --
-- Whether row-level security may hide rows of the table from this role, or refuse some of them. It does not where a
-- policy lets this role see and write everything, for each command (r, a and w stand for SELECT, INSERT and UPDATE).
WITH ours AS (
  SELECT p.polpermissive AS permissive, p.polcmd::text AS command,
         coalesce(pg_get_expr(p.polqual, p.polrelid), 'true') = 'true'
           AND coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') = 'true' AS everything
  FROM pg_policy AS p
  WHERE p.polrelid = to_regclass(%(table)s)
    AND EXISTS (SELECT FROM unnest(p.polroles) AS r (id) WHERE r.id = 0 OR pg_has_role(r.id, 'USAGE'))
)
SELECT coalesce(row_security_active(to_regclass(%(table)s)), false) AND (
  EXISTS (SELECT FROM ours WHERE NOT permissive AND NOT everything)
  OR EXISTS (
    SELECT FROM unnest(%(commands)s::text[]) AS c (command)
    WHERE NOT EXISTS (SELECT FROM ours WHERE permissive AND everything AND ours.command IN ('*', c.command))
  )
)

-- triggers --
-- The triggers that run before each row is written.
SELECT t.tgname::text FROM pg_trigger AS t
WHERE t.tgrelid = to_regclass(%(table)s) AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype & 3 = 3
ORDER BY 1

-- commits --
-- What a commit of ours waits for.
SELECT current_setting('synchronous_commit')

-- place --
-- Of the user's schemas: those in which no other role may create anything become our search_path, so that triggers find
-- what they name. The first one that has a relation of this name, or else the first one, whether it is in our path, and that path.
WITH path AS (
  SELECT n.nspname::text AS schema, given.place,
         to_regclass(format('%%I.%%I', n.nspname, %(name)s::text)) IS NOT NULL AS has_it,
         NOT EXISTS (
           SELECT FROM aclexplode(n.nspacl) AS a
           LEFT JOIN pg_roles AS r ON r.oid = a.grantee
           WHERE a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
             AND r.rolname IS DISTINCT FROM current_user AND r.rolsuper IS NOT TRUE
         ) AS safe
  FROM unnest(%(schemas)s::text[]) WITH ORDINALITY AS given (schema, place)
  JOIN pg_namespace AS n ON n.nspname = given.schema
), pinned AS (
  SELECT set_config(
    'search_path', coalesce(string_agg(quote_ident(schema), ', ' ORDER BY place), 'pg_catalog') || ', pg_temp', %(local)s
  ) AS now FROM path WHERE safe
)
SELECT path.schema, path.safe, pinned.now FROM path, pinned ORDER BY NOT path.has_it, path.place LIMIT 1
