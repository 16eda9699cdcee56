-- What `migrate`, `check` and `status` ask; nothing here runs while events are written.

-- lock --
-- Two migrations at once wait for each other; the number has no meaning but to be ours.
SELECT pg_advisory_xact_lock(7021946180417)

-- columns --
-- What the table of this name is like; no row where there is none. A column that must be filled and is not ours breaks
-- every insert.
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
-- Whether the name is taken, and by what.
SELECT c.relkind::text FROM pg_class AS c WHERE c.oid = to_regclass(%(table)s)

-- missing_privileges --
-- What this role may not do with the table.
SELECT privilege
FROM unnest(%(needed)s::text[]) WITH ORDINALITY AS needed (privilege, place)
WHERE NOT has_table_privilege(to_regclass(%(table)s), privilege)
ORDER BY place

-- server --
-- Whether the server can serve us at all.
SELECT current_setting('server_version_num')::integer, current_setting('server_version'), pg_is_in_recovery(),
       current_setting('default_transaction_read_only') = 'on', current_setting('server_encoding'), current_user::text

-- rows_by_status --
-- For `status`: a row of somebody else's may have none.
SELECT coalesce(status, ''), count(*) FROM {table} GROUP BY 1 ORDER BY 2 DESC, 1
