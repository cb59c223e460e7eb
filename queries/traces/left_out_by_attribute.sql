-- A row is a trace with the value of an attribute of its root; where the root is missing, of its earliest server or consumer span.
-- Only spans that hold the key's text are parsed.
SELECT hash(trace_id) AS trace, arg_min(value, start_ns) AS value
FROM (
    SELECT trace_id, start_ns, attr($key) AS value
    FROM spans
    WHERE (contains(attributes, $key) OR contains(resource, $key) OR contains(scope, $key)) AND NOT evaluation_only
      AND (parent_span_id IS NULL
           OR (kind IN ('server', 'consumer') AND trace_id NOT IN (SELECT trace_id FROM spans WHERE parent_span_id IS NULL)))
)
WHERE value IS NOT NULL AND hash(trace_id) IN (SELECT trace FROM window_traces)
GROUP BY trace_id;
