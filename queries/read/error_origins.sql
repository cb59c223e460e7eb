-- Where errors begin: failed spans without a failed child, by operation; everything above only passes the error on.
-- $service: text, optional; only this service
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
WITH failed AS (
    SELECT * FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR) WHERE status = 'error' AND NOT evaluation_only
)
SELECT service, operation, count(*) AS errors, count(DISTINCT trace_id) AS traces,
       mode(status_message ORDER BY status_message) AS usual_message, min(trace_id) AS example_trace_id,
       utc(min(start_ns)) AS first_seen, utc(max(start_ns)) AS last_seen
FROM failed AS origin
WHERE NOT EXISTS (
          SELECT 1 FROM failed AS child
          WHERE child.trace_id = origin.trace_id AND child.parent_span_id = origin.span_id
      )
  AND ($service::VARCHAR IS NULL OR service = $service)
GROUP BY service, operation
ORDER BY errors DESC, service, operation;
