-- A row is an edge (or a node: source and kind are null then) on one side of a comparison: what its calls per request and its share of
-- failed calls are judged by. Requests are the independent ones, so that calls and failed calls are summed per request first, and their
-- squares and products over requests. A node's calls are those that enter it.
WITH per_request AS (
    SELECT slice, source, target, kind, trace, count(*) AS calls, count(*) FILTER (failed) AS errors
    FROM graph_calls WHERE source IS NOT NULL
    GROUP BY slice, source, target, kind, trace
    UNION ALL
    SELECT slice, NULL, target, NULL, trace, count(*), count(*) FILTER (failed)
    FROM graph_calls WHERE NOT by_link
    GROUP BY slice, target, trace
),
summed AS (
    SELECT slice, source, target, kind, count(*) AS requests, sum(calls)::BIGINT AS calls, sum(errors)::BIGINT AS errors,
           sum(calls * calls)::BIGINT AS calls_squared, sum(errors * errors)::BIGINT AS errors_squared,
           sum(calls * errors)::BIGINT AS calls_errors
    FROM per_request GROUP BY slice, source, target, kind
),
latency AS (
    SELECT slice, source, target, kind, quantile_cont(dur_ns, [0.5, 0.95]) AS quantiles
    FROM graph_calls WHERE source IS NOT NULL GROUP BY slice, source, target, kind
    UNION ALL
    SELECT slice, NULL, target, NULL, quantile_cont(dur_ns, [0.5, 0.95])
    FROM graph_calls WHERE NOT by_link GROUP BY slice, target
)
SELECT s.*, l.quantiles[1] / 1e6 AS p50_ms, l.quantiles[2] / 1e6 AS p95_ms
FROM summed s JOIN latency l
  ON s.slice = l.slice AND s.target = l.target AND s.source IS NOT DISTINCT FROM l.source AND s.kind IS NOT DISTINCT FROM l.kind
ORDER BY s.source NULLS FIRST, s.target, s.kind DESC, s.slice;
