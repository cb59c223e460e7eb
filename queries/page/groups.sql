-- A row is a variant of $flag at an entry point in the window: its requests, how many failed, how long they took.
-- A request that saw two variants counts under neither. $sampled trace ids are kept of each, those with the least hash.
WITH levels AS (
    SELECT trace_id, min(variant) AS variant FROM flag_records
    WHERE flag_key = $flag AND variant IS NOT NULL
    GROUP BY trace_id HAVING count(DISTINCT variant) = 1
),
chosen AS (
    SELECT trace_id, arg_min((service, operation, dur_ns, status), (start_ns, service, operation)) AS root
    FROM spans
    WHERE parent_span_id IS NULL AND NOT evaluation_only AND start_ns >= $since AND start_ns < $until
      AND ($environment IS NULL OR environment = $environment)
    GROUP BY trace_id
)
SELECT root[1] AS service, root[2] AS operation, variant, count(*) AS requests, count(*) FILTER (root[4] = 'error') AS errors,
       ms(avg(root[3])) AS mean_ms, ms(quantile_cont(root[3], 0.50)) AS p50_ms, ms(quantile_cont(root[3], 0.95)) AS p95_ms,
       min(trace_id, $sampled) AS trace_ids
FROM chosen JOIN levels USING (trace_id)
WHERE $entry IS NULL OR root[2] = $entry
GROUP BY root[1], root[2], variant
ORDER BY service, operation, requests DESC, variant;
