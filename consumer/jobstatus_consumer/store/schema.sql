-- The managed table and its progress table, as `migrate` creates them.

-- create --
-- fillfactor 70 leaves room for the new version of a row on its own page. No column that changes has an index.
CREATE TABLE {table} (
  {definitions}
) WITH (fillfactor = 70)

-- add_columns --
-- A table that an earlier version made lacks these columns; they are empty for what it has.
ALTER TABLE {table}
  {additions}
