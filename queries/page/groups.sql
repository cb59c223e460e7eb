-- A row is a group of requests at an entry point in the window, those under a variant of $flag, or where that is null those that met a version
-- of $service: how many, how many failed, how long they took. A request that saw two variants or versions counts under neither.
-- `first_ns` is when a version began in the whole store, null for variants. $sampled trace ids are kept of each, those with the least hash.
WITH chosen AS MATERIALIZED (
    SELECT trace_id, arg_min((service, operation, dur_ns, status), (start_ns, service, operation)) AS root
    FROM spans
    WHERE parent_span_id IS NULL AND NOT evaluation_only AND start_ns >= $since AND start_ns < $until
      AND ($environment IS NULL OR environment = $environment)
    GROUP BY trace_id
),
levels AS (
    SELECT trace_id, min(variant) AS variant FROM flag_records SEMI JOIN chosen USING (trace_id)
    WHERE flag_key = $flag AND variant IS NOT NULL
    GROUP BY trace_id HAVING count(DISTINCT variant) = 1
    UNION ALL
    SELECT trace_id, min(version) FROM spans SEMI JOIN chosen USING (trace_id)
    WHERE $flag IS NULL AND service = $service AND version IS NOT NULL
    GROUP BY trace_id HAVING count(DISTINCT version) = 1
),
begun AS (
    SELECT version AS variant, min(start_ns) AS first_ns FROM spans
    WHERE $flag IS NULL AND service = $service AND version IS NOT NULL GROUP BY version
)
SELECT root[1] AS service, root[2] AS operation, variant, any_value(first_ns) AS first_ns,
       count(*) AS requests, count(*) FILTER (root[4] = 'error') AS errors,
       ms(avg(root[3])) AS mean_ms, ms(quantile_cont(root[3], 0.50)) AS p50_ms, ms(quantile_cont(root[3], 0.95)) AS p95_ms,
       min(trace_id, $sampled) AS trace_ids
FROM chosen JOIN levels USING (trace_id) LEFT JOIN begun USING (variant)
WHERE $entry IS NULL OR root[2] = $entry
GROUP BY root[1], root[2], variant
ORDER BY service, operation, requests DESC, variant;
