-- The ways that errors took: the failed operations from a failed request's root down to where the error began, commonest first.
-- $service: text, optional; only errors that began in this service
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- $limit: integer, optional; at most so many rows
-- A request whose root did not fail has handled its errors and is not here. A failed call that was made again by the same parent after it had
-- ended is handled, too; if the repeat failed, the repeat is the way. A client span is named only where the error began at it: otherwise the
-- called side says the same. A way is followed for a hundred steps.
WITH RECURSIVE kept AS (
    SELECT trace_id, span_id, parent_span_id, service, operation, kind, status, start_ns, start_ns + dur_ns AS end_ns
    FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR) WHERE NOT evaluation_only
),
failed AS (SELECT * FROM kept WHERE status = 'error'),
repeated AS (
    SELECT DISTINCT attempt.trace_id, attempt.span_id
    FROM failed AS attempt JOIN kept AS later USING (trace_id, parent_span_id, service, operation, kind)
    WHERE kind IN ('client', 'server') AND later.start_ns >= attempt.end_ns AND later.span_id <> attempt.span_id
),
standing AS (FROM failed ANTI JOIN repeated USING (trace_id, span_id)),
walk AS (
    SELECT trace_id, span_id, service, operation, kind, CAST([] AS VARCHAR[]) AS above, 1 AS steps
    FROM standing ANTI JOIN (SELECT trace_id, span_id AS parent_span_id FROM kept) AS parents USING (trace_id, parent_span_id)
    UNION ALL
    SELECT child.trace_id, child.span_id, child.service, child.operation, child.kind,
           CASE WHEN walk.kind = 'client' THEN above ELSE list_append(above, walk.service || ' ' || walk.operation) END, steps + 1
    FROM walk JOIN standing AS child ON child.trace_id = walk.trace_id AND child.parent_span_id = walk.span_id
    WHERE child.kind <> 'consumer' AND steps < 100
)
SELECT array_to_string(list_append(above, service || ' ' || operation), ' → ') AS path, service, operation,
       count(*) AS errors, count(DISTINCT trace_id) AS requests, min(trace_id) AS example_trace_id
FROM walk
WHERE NOT EXISTS (
          SELECT 1 FROM standing AS child
          WHERE child.trace_id = walk.trace_id AND child.parent_span_id = walk.span_id AND child.kind <> 'consumer'
      )
  AND ($service::VARCHAR IS NULL OR service = $service)
GROUP BY path, service, operation
ORDER BY requests DESC, errors DESC, path
LIMIT coalesce($limit::BIGINT, 9223372036854775807);
