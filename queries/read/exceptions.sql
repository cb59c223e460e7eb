-- Exceptions that spans recorded, by operation, type and message, most frequent first.
-- $service: text, optional; only this service
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- $limit: integer, optional; at most so many rows
-- An exception is a span event of that name. One that was caught is here, too: failed_spans are those that ended in an error as well.
-- Only events in which the word stands are read as JSON.
WITH thrown AS (
    SELECT trace_id, service, operation, status, start_ns,
           unnest(from_json(events, '[{"name": "VARCHAR", "attributes": "JSON"}]')) AS event
    FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR)
    WHERE contains(events, '"exception"')
      AND ($service::VARCHAR IS NULL OR service = $service)
)
SELECT service, operation, json_extract_string(event.attributes, '/exception.type') AS "type",
       json_extract_string(event.attributes, '/exception.message') AS message, count(*) AS "count",
       count(*) FILTER (status = 'error') AS failed_spans, count(DISTINCT trace_id) AS requests,
       utc(min(start_ns)) AS first_seen, utc(max(start_ns)) AS last_seen, min(trace_id) AS example_trace_id
FROM thrown
WHERE event.name = 'exception'
GROUP BY service, operation, "type", message
ORDER BY "count" DESC, service, operation, "type", message
LIMIT coalesce($limit::BIGINT, 9223372036854775807);
