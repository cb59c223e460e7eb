-- Which service called which, as spans with their parents show it: calls, errors, latency on the called side.
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- A call is a span whose parent belongs to another service; it is asynchronous when it consumes a message or its parent produced one.
-- Where tracers let both sides of a call share a span id, a parent of the span's own service is the right one, and then this is no call.
-- `traceguard graph` also knows callees that sent no spans themselves (databases, other people's services) and span links.
WITH calls AS (
    SELECT parent.service AS source, child.service AS target,
           CASE WHEN child.kind = 'consumer' OR parent.kind = 'producer' THEN 'async' ELSE 'sync' END AS kind,
           child.status = 'error' AS failed, child.dur_ns
    FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR) AS child
    JOIN distinct_spans AS parent ON parent.trace_id = child.trace_id AND parent.span_id = child.parent_span_id
    WHERE NOT child.evaluation_only
    QUALIFY row_number() OVER (
        PARTITION BY child.trace_id, child.span_id, child.service, child.kind, child.start_ns
        ORDER BY parent.service = child.service DESC, parent.start_ns, parent.service
    ) = 1
)
SELECT source, target, kind, count(*) AS calls, count(*) FILTER (failed) AS errors,
       ms(quantile_cont(dur_ns, 0.50)) AS p50_ms, ms(quantile_cont(dur_ns, 0.95)) AS p95_ms
FROM calls
WHERE source <> target
GROUP BY source, target, kind
ORDER BY source, target, kind;
