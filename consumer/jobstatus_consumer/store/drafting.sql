-- What `target init` asks of the catalog.

-- kind --
-- The kind of the relation of this name, and its schema.
SELECT c.relkind::text, n.nspname::text
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass(%(table)s)

-- columns --
-- The columns: name, type with its length, name and kind of the type, the words of an enum, how many characters fit,
-- whether NULL is refused, whether there is a default, and whether the server alone writes it.
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod),
       coalesce(base.typname, t.typname)::text, coalesce(base.typcategory, t.typcategory)::text,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum AS e
             WHERE e.enumtypid = coalesce(base.oid, t.oid) ORDER BY e.enumsortorder),
       CASE WHEN t.typname IN ('varchar', 'bpchar') AND a.atttypmod > 4 THEN a.atttypmod - 4 END,
       a.attnotnull OR t.typnotnull, a.atthasdef OR a.attidentity <> '', a.attgenerated <> '' OR a.attidentity = 'a'
FROM pg_attribute AS a
JOIN pg_type AS t ON t.oid = a.atttypid
LEFT JOIN pg_type AS base ON base.oid = t.typbasetype
WHERE a.attrelid = to_regclass(%(table)s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum

-- unique --
-- The columns of each unique index that holds for every row, the primary key first.
SELECT ARRAY(
  SELECT a.attname::text FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k (number, place)
  JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number
  ORDER BY k.place
)
FROM pg_index AS i
WHERE i.indrelid = to_regclass(%(table)s)
  AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
ORDER BY NOT i.indisprimary, i.indexrelid

-- checks --
-- The CHECK constraints on one column alone, and the column.
SELECT a.attname::text, pg_get_constraintdef(c.oid)
FROM pg_constraint AS c JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
WHERE c.conrelid = to_regclass(%(table)s) AND c.contype = 'c' AND cardinality(c.conkey) = 1
ORDER BY c.oid

-- triggers --
-- The triggers that run before each row is updated.
SELECT g.tgname::text FROM pg_trigger AS g
WHERE g.tgrelid = to_regclass(%(table)s) AND NOT g.tgisinternal AND g.tgenabled IN ('O', 'A') AND g.tgtype & 19 = 19
ORDER BY 1
