-- What the console's list of jobs asks: a page at a time, and never a count of the whole table.

-- columns --
-- One line of the list; of a message so many letters. An infinite time, which only another program writes, is left out.
t.job_id, t.status, t.attempt, t.worker_id, left(t.error_message, %(letters)s),
CASE WHEN isfinite(t.latest_occurred_at) THEN (extract(epoch FROM t.latest_occurred_at) * 1000000)::bigint END

-- filters --
-- Each filter that is NULL lets every job through. Times are in microseconds since 1970-01-01 UTC.
(%(status)s::text IS NULL OR t.status = %(status)s::text)
AND (%(worker)s::text IS NULL OR t.worker_id = %(worker)s::text)
AND (%(text)s::text IS NULL OR strpos(lower(t.error_message), lower(%(text)s::text)) > 0)
AND (%(since)s::bigint IS NULL
  OR t.latest_occurred_at >= timestamptz 'epoch' + %(since)s::bigint * interval '1 microsecond')
AND (%(until)s::bigint IS NULL
  OR t.latest_occurred_at < timestamptz 'epoch' + %(until)s::bigint * interval '1 microsecond')

-- window_end --
-- The last job of the next stretch of the table that is searched; none if the table ends before it.
SELECT t.job_id FROM {table} AS t WHERE t.job_id > %(after)s ORDER BY t.job_id OFFSET %(window)s - 1 LIMIT 1

-- by_id --
-- The jobs of one stretch that pass the filters, by id: the primary key finds where it begins.
SELECT {columns}
FROM {table} AS t
WHERE t.job_id > %(after)s AND (%(last)s::text IS NULL OR t.job_id <= %(last)s::text) AND {filters}
ORDER BY t.job_id
LIMIT %(rows)s

-- newest --
-- The jobs that pass the filters, those with the newest event first. No index has this order, so it reads the whole
-- table; it is for small tables, or for a table whose owner has made such an index.
SELECT {columns}
FROM {table} AS t
WHERE {filters}
  AND isfinite(t.latest_occurred_at)
  AND (%(before)s::bigint IS NULL OR (t.latest_occurred_at, t.job_id)
    < (timestamptz 'epoch' + %(before)s::bigint * interval '1 microsecond', %(after)s::text))
ORDER BY t.latest_occurred_at DESC, t.job_id DESC
LIMIT %(rows)s
