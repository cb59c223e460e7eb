-- Calls that repeat a failed attempt, by operation: how many, how many of them went well, and how long the failed attempts took.
-- $service: text, optional; only calls that spans of this service tell of
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- A call repeats the one before it below the same parent if that is of the same operation, failed, and had ended; or if it says so itself
-- (http.request.resend_count). Where the operation is but an HTTP method, the URL must be the same, too.
WITH calls AS (
    SELECT trace_id, span_id, parent_span_id, service, operation, kind, status, start_ns, dur_ns, start_ns + dur_ns AS end_ns,
           CASE WHEN contains(attributes, '"http.request.resend_count"')
                THEN try_cast(json_extract_string(attributes, '/http.request.resend_count') AS BIGINT) END > 0 AS resent,
           CASE WHEN regexp_full_match(operation, '(?i)(http )?(get|head|post|put|patch|delete|options|query)')
                THEN coalesce(json_extract_string(attributes, '/url.full'), json_extract_string(attributes, '/http.url'), span_id)
                ELSE '' END AS place
    FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR)
    WHERE kind IN ('client', 'server') AND NOT evaluation_only AND parent_span_id IS NOT NULL
      AND ($service::VARCHAR IS NULL OR service = $service)
),
before AS (
    SELECT *, lag(status = 'error') OVER w AS previous_failed, lag(end_ns) OVER w AS previous_end, lag(dur_ns) OVER w AS previous_dur
    FROM calls
    WINDOW w AS (PARTITION BY trace_id, parent_span_id, service, operation, kind, place ORDER BY start_ns, end_ns, span_id)
),
repeats AS (SELECT *, coalesce(previous_failed AND previous_end <= start_ns, false) AS follows FROM before)
SELECT service, operation, kind, count(*) FILTER (follows OR resent) AS retries,
       count(*) FILTER ((follows OR resent) AND status <> 'error') AS recovered,
       count(*) AS calls, count(DISTINCT trace_id) FILTER (follows OR resent) AS traces,
       coalesce(ms(sum(previous_dur) FILTER (follows)), 0) AS attempts_ms,
       coalesce(ms(sum(start_ns - previous_end) FILTER (follows)), 0) AS pauses_ms,
       min(trace_id) FILTER (follows OR resent) AS example_trace_id
FROM repeats
GROUP BY service, operation, kind
HAVING retries > 0
ORDER BY retries DESC, service, operation, kind;
