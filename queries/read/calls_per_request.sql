-- How often a request of each entry point runs each operation, most often first, over distinct spans.
-- $service: text, optional; only operations of this service
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- An entry point is the service and operation of the root span; requests whose root is missing have none and are left out.
-- calls_per_request is over all requests of the entry point, most_calls the most that one of them made.
WITH kept AS (
    SELECT * FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR) WHERE NOT evaluation_only
),
roots AS (
    SELECT trace_id, arg_min((service, operation), (start_ns, service, operation)) AS entry
    FROM kept WHERE parent_span_id IS NULL GROUP BY trace_id
),
entries AS (SELECT entry, count(*) AS requests FROM roots GROUP BY entry),
per_request AS (SELECT trace_id, service, operation, count(*) AS calls FROM kept GROUP BY trace_id, service, operation)
SELECT entry[1] AS entry_service, entry[2] AS entry_operation, p.service, p.operation, any_value(e.requests) AS requests,
       count(*) AS requests_with_call, sum(calls)::BIGINT AS calls, sum(calls) / any_value(e.requests) AS calls_per_request,
       max(calls) AS most_calls
FROM per_request p JOIN roots USING (trace_id) JOIN entries e USING (entry)
WHERE $service::VARCHAR IS NULL OR p.service = $service
GROUP BY entry, p.service, p.operation
ORDER BY calls_per_request DESC, entry_service, entry_operation, p.service, p.operation;
