-- What the console's list of jobs asks: a page at a time, and never a count of the whole table.

-- columns --
-- One line of the list; of a message so many letters. An infinite time, which only another program writes, is left out.
t.job_id, t.status, t.attempt, t.worker_id, left(t.error_message, %(letters)s),
CASE WHEN isfinite(t.latest_occurred_at) THEN (extract(epoch FROM t.latest_occurred_at) * 1000000)::bigint END

-- status --
t.status = %(status)s

-- worker --
t.worker_id = %(worker)s

-- text --
-- A part of the message, whatever its case.
strpos(lower(t.error_message), lower(%(text)s)) > 0

-- since --
t.latest_occurred_at >= timestamptz 'epoch' + %(since)s * interval '1 microsecond'

-- until --
t.latest_occurred_at < timestamptz 'epoch' + %(until)s * interval '1 microsecond'

-- before --
-- The page begins behind this job in the order of time.
(t.latest_occurred_at, t.job_id) < (timestamptz 'epoch' + %(before)s * interval '1 microsecond', %(after)s)

-- last --
-- The stretch of the table ends with this job.
t.job_id <= %(last)s

-- window_end --
-- The last job of the next stretch of the table that is searched; none if the table ends before it.
SELECT t.job_id FROM {table} AS t WHERE t.job_id > %(after)s ORDER BY t.job_id OFFSET %(window)s - 1 LIMIT 1

-- by_id --
-- The jobs of one stretch that pass the filters, by id: the primary key finds where it begins.
SELECT {columns}
FROM {table} AS t
WHERE t.job_id > %(after)s{filters}
ORDER BY t.job_id
LIMIT %(rows)s

-- newest --
-- The jobs that pass the filters, those with the newest event first. No index has this order, so it reads the whole
-- table; it is for small tables, or for a table whose owner has made such an index. The page is found first and its
-- columns are read then, for few rows.
SELECT {columns}
FROM (
  SELECT t.job_id, t.latest_occurred_at
  FROM {table} AS t
  WHERE t.latest_occurred_at > '-infinity' AND t.latest_occurred_at < 'infinity'{filters}
  ORDER BY t.latest_occurred_at DESC, t.job_id DESC
  LIMIT %(rows)s
) AS page
JOIN {table} AS t ON t.job_id = page.job_id
ORDER BY page.latest_occurred_at DESC, page.job_id DESC
