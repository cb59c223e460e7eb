-- A row is a node in a slice of time: one that sent spans (spans counts them all, so that the sum over nodes is the slice's distinct spans),
-- or something inferred from its callers (0 spans). Latency and calls are those of the calls that enter it; errors count its failed spans,
-- or its failed calls where it sent none.
WITH sent AS (
    SELECT slice, node AS id, any_value(service) AS service, any_value(operation) AS operation,
           count(*) AS spans, count(*) FILTER (failed) AS errors
    FROM graph_spans GROUP BY slice, node
),
called AS (
    SELECT slice, target AS id, min(type) AS type, count(*) AS calls, count(*) FILTER (failed) AS errors,
           quantile_cont(dur_ns, [0.5, 0.95]) AS quantiles
    FROM graph_calls WHERE NOT by_link GROUP BY slice, target
)
SELECT slice, id, coalesce(s.spans, 0) AS spans, coalesce(s.errors, c.errors, 0) AS errors, coalesce(c.calls, 0) AS calls,
       coalesce(c.quantiles[1], 0) / 1e6 AS p50_ms, coalesce(c.quantiles[2], 0) / 1e6 AS p95_ms,
       CASE WHEN s.id IS NULL THEN c.type ELSE 'service' END AS type, s.id IS NULL AS inferred,
       s.service, s.operation
FROM sent s FULL JOIN called c USING (slice, id)
ORDER BY slice, id;
