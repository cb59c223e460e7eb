-- How long messages waited between the span that sent them and the span that took them, by both operations.
-- $service: text, optional; only messages that this service takes
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- A message is a consumer span whose parent, or a span that it links to, is a producer span. A batch waits once for each of its messages.
-- The wait runs from the end of sending, so hosts whose clocks disagree may show less than nothing; such waits are counted as early.
WITH taken AS (
    SELECT * FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR)
    WHERE kind = 'consumer' AND NOT evaluation_only
      AND ($service::VARCHAR IS NULL OR service = $service)
),
named AS (
    SELECT trace_id, span_id, service, operation, start_ns, dur_ns, status, trace_id AS sent_trace_id, parent_span_id AS sent_span_id
    FROM taken WHERE parent_span_id IS NOT NULL
    UNION
    SELECT * EXCLUDE (link), link.trace_id, link.span_id
    FROM (
        SELECT trace_id, span_id, service, operation, start_ns, dur_ns, status,
               unnest(from_json(links, '[{"trace_id": "VARCHAR", "span_id": "VARCHAR"}]')) AS link
        FROM taken WHERE links IS NOT NULL
    )
),
waits AS (
    SELECT sent.service AS sent_by, sent.operation AS sent_as, named.service, named.operation, named.status, named.dur_ns,
           named.start_ns - sent.start_ns - sent.dur_ns AS wait_ns, named.trace_id
    FROM named JOIN (FROM distinct_spans WHERE kind = 'producer') AS sent
      ON sent.trace_id = named.sent_trace_id AND sent.span_id = named.sent_span_id
)
SELECT sent_by, sent_as, service, operation, count(*) AS messages, count(*) FILTER (status = 'error') AS failed,
       ms(quantile_cont(wait_ns, 0.50)) AS wait_p50_ms, ms(quantile_cont(wait_ns, 0.95)) AS wait_p95_ms, ms(max(wait_ns)) AS wait_most_ms,
       count(*) FILTER (wait_ns < 0) AS early, ms(quantile_cont(dur_ns, 0.50)) AS work_p50_ms,
       arg_max(trace_id, (wait_ns, trace_id)) AS longest_trace_id
FROM waits
GROUP BY sent_by, sent_as, service, operation
ORDER BY wait_p95_ms DESC, sent_by, sent_as, service, operation;
