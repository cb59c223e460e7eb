-- Users who got more than one variant of a flag: which, in how many requests, and how often it changed for them.
-- $flag: text, optional; only this flag
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- $limit: integer, optional; at most so many rows
-- A user is the context that the flag was evaluated for, else the request's session or user id; evaluations for nobody are left out.
-- One change is a ramp that reached this user; many are a flag without stickiness, or an id that many people share.
WITH known AS (
    SELECT trace_id, arg_min(value, (list_position(['session.id', 'user.id', 'enduser.id', 'enduser.pseudo.id'], key), value)) AS unit
    FROM correlations
    WHERE key IN ('session.id', 'user.id', 'enduser.id', 'enduser.pseudo.id') AND value <> ''
    GROUP BY trace_id
),
evaluated AS (
    SELECT flag_key, coalesce(context_id, unit) AS unit, variant, trace_id, time_ns,
           lag(variant) OVER (PARTITION BY flag_key, coalesce(context_id, unit) ORDER BY time_ns, trace_id, span_id) AS previous
    FROM flag_evaluations LEFT JOIN known USING (trace_id)
    WHERE variant IS NOT NULL AND coalesce(context_id, unit) IS NOT NULL
      AND ($flag::VARCHAR IS NULL OR flag_key = $flag)
      AND (($since IS NULL AND $until IS NULL AND $environment IS NULL)
           OR trace_id IN (SELECT trace_id FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR)))
)
SELECT flag_key, unit, string_agg(DISTINCT variant, ', ' ORDER BY variant) AS variants, count(DISTINCT trace_id) AS requests,
       count(*) FILTER (previous <> variant) AS changes, utc(min(time_ns)) AS first_seen, utc(max(time_ns)) AS last_seen,
       arg_max(trace_id, (time_ns, trace_id)) AS last_trace_id
FROM evaluated
GROUP BY flag_key, unit
HAVING count(DISTINCT variant) > 1
ORDER BY flag_key, changes DESC, requests DESC, unit
LIMIT coalesce($limit::BIGINT, 9223372036854775807);
