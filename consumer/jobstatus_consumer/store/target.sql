-- What the catalog says of the target, which is a table or a view of the user's own.

-- relation --
-- The relation of this name: its schema and name, its kind, whether it is one of ours, the schema of the waiting table,
-- and whether an UPDATE of it, or of a table under it, has triggers. A partitioned table has partitions under it, and a view has its tables.
WITH target AS (
  SELECT c.oid, c.relname, c.relkind, n.nspname
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE c.oid = to_regclass(%(target)s)
), under AS (
  SELECT target.oid FROM target
  UNION SELECT part.relid FROM target CROSS JOIN pg_partition_tree(target.oid) AS part
  UNION SELECT d.refobjid
  FROM target
  JOIN pg_rewrite AS r ON r.ev_class = target.oid
  JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
)
SELECT target.nspname::text, target.relname::text, target.relkind::text,
       target.oid IN (to_regclass(%(table)s), to_regclass(%(progress)s), to_regclass(%(waiting)s)),
       (SELECT n.nspname::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.oid = to_regclass(%(waiting)s)),
       EXISTS (
         SELECT FROM pg_trigger AS g JOIN under ON under.oid = g.tgrelid
         WHERE NOT g.tgisinternal AND g.tgenabled IN ('O', 'A') AND g.tgtype & 16 = 16
       )
FROM target

-- columns --
-- The columns: name, type without its length, whether it is a text or bit string, whether its type is a domain, how its
-- one spelling is made where texts that differ may be one value, whether the server alone may write it; type with its
-- length, whether NULL is refused, whether it has a default, how many characters fit, and whether its values can be compared.
SELECT a.attname::text, format_type(a.atttypid, -1), t.typcategory IN ('S', 'V'), t.typtype = 'd',
       CASE
         -- a number without a scale keeps the zeros that it was written with
         WHEN base.id = 'numeric'::regtype AND base.modifier = -1 THEN 'trim_scale(%%s)'
         -- and a negative zero becomes zero
         WHEN base.id = 'real'::regtype THEN '0::real + %%s'
         WHEN base.id = 'double precision'::regtype THEN '0 + %%s'
         WHEN base.id IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype, 'numeric'::regtype,
                          'uuid'::regtype) THEN '%%s'
         WHEN a.atttypid = 'bpchar'::regtype THEN '%%s'
       END,
       a.attgenerated <> '' OR a.attidentity = 'a',
       format_type(a.atttypid, a.atttypmod), a.attnotnull OR t.typnotnull, a.atthasdef OR a.attidentity <> '',
       CASE WHEN t.typname IN ('varchar', 'bpchar') AND a.atttypmod > 4 THEN a.atttypmod - 4 END,
       NOT ARRAY[t.oid, t.typbasetype, t.typelem] && '{{json,xml,point,polygon}}'::regtype[]::oid[]
FROM pg_attribute AS a
JOIN pg_type AS t ON t.oid = a.atttypid
CROSS JOIN LATERAL (
  SELECT CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END AS id,
         CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE a.atttypmod END AS modifier
) AS base
WHERE a.attrelid = to_regclass(%(target)s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum

-- unique --
-- The columns of each unique index that holds for every row.
SELECT array_agg(a.attname::text)
FROM pg_index AS i
JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])
WHERE i.indrelid = to_regclass(%(target)s)
  AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
GROUP BY i.indexrelid
