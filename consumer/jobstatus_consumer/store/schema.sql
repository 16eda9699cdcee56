-- The managed table and the tables beside it, as `migrate` creates them.

-- create --
-- A fillfactor of 70 leaves room for the new version of a row on its own page. No column that changes has an index.
CREATE TABLE {table} (
  {definitions}
) WITH (fillfactor = {fillfactor})

-- add_columns --
-- A table that an earlier version made lacks these columns; they are empty for what it has.
ALTER TABLE {table}
  {additions}

-- mark --
-- Which version has shaped the tables; `mark.py` reads it.
COMMENT ON TABLE {progress} IS {mark}
