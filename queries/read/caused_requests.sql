-- Asynchronous work with what caused it: the span that sent the message, that a span link names, or that started it and went.
-- $service: text, optional; only work of this service
-- $trace_id: text, optional; only what this trace caused, or what lies in it
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- $limit: integer, optional; at most so many rows
-- A batch has a row per cause. A cause that is not in the store has neither service nor operation. wait_ms runs from the cause's start.
WITH mine AS (
    SELECT trace_id, span_id, parent_span_id, service, operation, kind, start_ns, dur_ns, status, links
    FROM spans_of_requests($since::BIGINT, $until::BIGINT, NULL)
    WHERE NOT evaluation_only
),
linked AS (
    SELECT * EXCLUDE (link), link.trace_id AS cause_trace_id, link.span_id AS cause_span_id, 'link' AS joined_by
    FROM (SELECT *, unnest(from_json(links, '[{"trace_id": "VARCHAR", "span_id": "VARCHAR"}]')) AS link FROM mine WHERE links IS NOT NULL)
),
started AS (
    SELECT child.*, parent.trace_id AS cause_trace_id, parent.span_id AS cause_span_id,
           CASE WHEN child.kind = 'consumer' OR (parent.kind = 'producer' AND parent.service <> child.service) THEN 'message' ELSE 'late' END AS joined_by
    FROM mine AS child JOIN mine AS parent ON parent.trace_id = child.trace_id AND parent.span_id = child.parent_span_id
    WHERE child.kind = 'consumer'
       OR (parent.kind = 'producer' AND parent.service <> child.service)
       OR (parent.service = child.service AND child.start_ns > parent.start_ns + parent.dur_ns)
),
joined AS (
    SELECT DISTINCT ON (trace_id, span_id, service, kind, start_ns, cause_trace_id, cause_span_id) *
    FROM (SELECT * FROM linked UNION ALL SELECT * FROM started)
    ORDER BY joined_by DESC
),
causes AS (
    SELECT trace_id AS cause_trace_id, span_id AS cause_span_id, service AS cause_service, operation AS cause_operation, start_ns AS cause_start_ns
    FROM distinct_spans AS spans SEMI JOIN joined ON spans.trace_id = joined.cause_trace_id AND spans.span_id = joined.cause_span_id
)
SELECT trace_id, span_id, service, operation, utc(start_ns) AS "start", ms(dur_ns) AS duration_ms, status, joined_by,
       cause_trace_id, cause_span_id, cause_service, cause_operation, ms(start_ns - cause_start_ns) AS wait_ms
FROM joined LEFT JOIN causes USING (cause_trace_id, cause_span_id)
WHERE ($service::VARCHAR IS NULL OR service = $service)
  AND ($trace_id::VARCHAR IS NULL OR trace_id = $trace_id OR cause_trace_id = $trace_id)
ORDER BY start_ns, trace_id, span_id, cause_trace_id, cause_span_id
LIMIT coalesce($limit::BIGINT, 9223372036854775807);
