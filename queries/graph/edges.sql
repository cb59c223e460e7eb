-- A row is an edge in a slice of time: the calls of one kind between a pair of nodes; errors and latency are the callee's.
SELECT slice, source, target, kind, count(*) AS calls, count(*) FILTER (failed) AS errors,
       quantile_cont(dur_ns, 0.5) / 1e6 AS p50_ms, quantile_cont(dur_ns, 0.95) / 1e6 AS p95_ms
FROM graph_calls
WHERE source IS NOT NULL
GROUP BY slice, source, target, kind
ORDER BY slice, source, target, kind DESC;
