-- A row is a trace with the value of an attribute of its root; of its earliest server or consumer span where the root is missing,
-- since its caller sends no spans. Of several the earliest counts, and for number the earliest that is one.
-- Only spans that hold the key's text are parsed.
WITH torn AS MATERIALIZED (
    SELECT trace_id FROM spans GROUP BY trace_id HAVING bool_and(parent_span_id IS NOT NULL)
),
asked AS (
    SELECT trace_id, start_ns, attr($key) AS value
    FROM spans
    WHERE parent_span_id IS NULL AND NOT evaluation_only
      AND (contains(attributes, $key) OR contains(resource, $key) OR contains(scope, $key))
    UNION ALL
    SELECT trace_id, start_ns, attr($key) AS value
    FROM spans
    WHERE kind IN ('server', 'consumer') AND trace_id IN (FROM torn)
      AND (contains(attributes, $key) OR contains(resource, $key) OR contains(scope, $key))
)
SELECT hash(trace_id) AS trace, arg_min(asked.value, start_ns) AS value, arg_min(try_cast(asked.value AS DOUBLE), start_ns) AS number
FROM asked
WHERE hash(trace_id) IN (SELECT trace FROM window_traces)
GROUP BY trace_id
HAVING value IS NOT NULL;
