-- Where errors begin: failed spans without a failed child, by operation; everything above only passes the error on.
-- $service: text, optional; only this service
-- $environment: text, optional; only this deployment environment
-- $since: time, optional; only spans that start at or after it
-- $until: time, optional; only spans that start before it
WITH failed AS (SELECT * FROM distinct_spans WHERE status = 'error' AND NOT evaluation_only)
SELECT service, operation, count(*) AS errors, count(DISTINCT trace_id) AS traces,
       mode(status_message ORDER BY status_message) AS usual_message, min(trace_id) AS example_trace_id,
       utc(min(start_ns)) AS first_seen, utc(max(start_ns)) AS last_seen
FROM failed AS origin
WHERE NOT EXISTS (
          SELECT 1 FROM failed AS child
          WHERE child.trace_id = origin.trace_id AND child.parent_span_id = origin.span_id
      )
  AND ($service::VARCHAR IS NULL OR service = $service)
  AND ($environment::VARCHAR IS NULL OR environment = $environment)
  AND ($since::BIGINT IS NULL OR start_ns >= $since)
  AND ($until::BIGINT IS NULL OR start_ns < $until)
GROUP BY service, operation
ORDER BY errors DESC, service, operation;
