-- What callers do about failed calls, by caller's and call's operation: failures that failed the caller, that it handled, that it tried again.
-- $service: text, optional; only callers of this service
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- A client span and the server span that it waits for are two steps: the first says what the caller made of the answer. Messages are left out.
WITH kept AS (
    SELECT trace_id, span_id, parent_span_id, service, operation, kind, status, start_ns, start_ns + dur_ns AS end_ns
    FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR) WHERE NOT evaluation_only
),
failed AS (
    SELECT *, EXISTS (
               SELECT 1 FROM kept AS later
               WHERE later.trace_id = call.trace_id AND later.parent_span_id = call.parent_span_id AND later.service = call.service
                 AND later.operation = call.operation AND later.kind = call.kind AND call.kind IN ('client', 'server')
                 AND later.span_id <> call.span_id AND later.start_ns >= call.end_ns
           ) AS repeated
    FROM kept AS call
    WHERE status = 'error' AND kind <> 'consumer'
)
SELECT caller.service, caller.operation, failed.service AS call_service, failed.operation AS call_operation, failed.kind AS call_kind,
       count(*) AS failures, count(*) FILTER (caller.status = 'error') AS passed_on,
       count(*) FILTER (caller.status <> 'error') AS handled, count(*) FILTER (repeated) AS repeated,
       min(failed.trace_id) AS example_trace_id
FROM failed JOIN kept AS caller ON caller.trace_id = failed.trace_id AND caller.span_id = failed.parent_span_id
WHERE $service::VARCHAR IS NULL OR caller.service = $service
GROUP BY ALL
ORDER BY failures DESC, caller.service, caller.operation, call_service, call_operation, call_kind;
