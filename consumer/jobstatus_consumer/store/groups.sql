-- Which groups write a table. Each consumer's session has a shared advisory lock: its first number is the table's oid,
-- its second one stands for the group. It keeps nobody from anything.

-- announce --
-- Take the lock; it ends with the session.
SELECT pg_try_advisory_lock_shared(
  (t.oid::bigint - CASE WHEN t.oid::bigint > 2147483647 THEN 4294967296 ELSE 0 END)::integer, %(group)s::integer
)
FROM pg_class AS t WHERE t.oid = to_regclass(%(table)s)

-- others --
-- The sessions of other groups that have such a lock. Where they come from is hidden from some roles.
SELECT l.pid, coalesce(a.application_name, ''), host(a.client_addr)
FROM pg_locks AS l
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.mode = 'ShareLock' AND l.objsubid = 2
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND l.classid = to_regclass(%(table)s) AND l.objid::bigint <> %(group)s::bigint & 4294967295
ORDER BY l.pid
