-- The audit log: who changed something, when, what was planned, and what came of it. Times are in seconds.

-- begin --
-- Noted before anything is changed, so an action that is killed halfway is known, too.
INSERT INTO {audit} (at, actor, action, plan)
SELECT now(), %(actor)s, %(action)s, %(plan)s::jsonb
RETURNING id

-- missing_privileges --
-- The privileges on the audit log that this role lacks.
SELECT needed.privilege FROM unnest(%(needed)s::text[]) AS needed (privilege)
WHERE has_table_privilege(to_regclass(%(name)s), needed.privilege) IS FALSE

-- finish --
-- What came of it.
UPDATE {audit} SET finished_at = now(), outcome = %(outcome)s, result = %(result)s::jsonb
WHERE id = %(id)s
RETURNING id

-- latest --
-- A page of the audit log, the newest first.
SELECT a.id, extract(epoch FROM a.at)::float8, a.actor, a.action, a.plan,
       extract(epoch FROM a.finished_at)::float8, a.outcome, a.result
FROM {audit} AS a
WHERE %(before)s::bigint IS NULL OR a.id < %(before)s::bigint
ORDER BY a.id DESC
LIMIT %(rows)s
