-- Traces that came in part: without a root, or with spans whose parent is missing.
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- $limit: integer, optional; at most so many rows
WITH named AS (SELECT DISTINCT trace_id, span_id AS parent_span_id, true AS present FROM spans),
marked AS (
    SELECT trace_id, service, start_ns, parent_span_id IS NULL AS is_root,
           parent_span_id IS NOT NULL AND present IS NULL AS is_orphan
    FROM spans_of_requests($since::BIGINT, $until::BIGINT, NULL) LEFT JOIN named USING (trace_id, parent_span_id)
)
SELECT trace_id, count(*) AS spans, count(*) FILTER (is_root) AS roots, count(*) FILTER (is_orphan) AS missing_parents,
       string_agg(DISTINCT service, ', ' ORDER BY service) AS services, utc(min(start_ns)) AS "start"
FROM marked
GROUP BY trace_id
HAVING count(*) FILTER (is_root) = 0 OR count(*) FILTER (is_orphan) > 0
ORDER BY missing_parents DESC, trace_id
LIMIT coalesce($limit::BIGINT, 9223372036854775807);
