-- A row is a trace with the sample rate that an attribute of its root states, as text. A trace whose caller sends no spans begins at
-- server and consumer spans, so these are asked where no root states it. Only spans that hold the key's text are parsed.
SELECT hash(trace_id) AS trace,
       coalesce(arg_min(rate, start_ns) FILTER (parent_span_id IS NULL), arg_min(rate, start_ns)) AS rate
FROM (
    SELECT trace_id, parent_span_id, start_ns, try_cast(attr($key) AS DOUBLE) AS rate
    FROM spans
    WHERE (parent_span_id IS NULL OR kind IN ('server', 'consumer')) AND NOT evaluation_only
      AND (contains(attributes, $key) OR contains(resource, $key) OR contains(scope, $key))
)
WHERE rate IS NOT NULL AND hash(trace_id) IN (SELECT trace FROM window_traces)
GROUP BY trace_id;
