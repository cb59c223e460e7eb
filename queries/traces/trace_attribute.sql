-- A row is a trace with its value of an attribute: its root's, else that of the earliest span that has one. Of several that are as
-- early the lowest counts. Only spans that hold the key's text are parsed.
SELECT hash(trace_id) AS trace,
       coalesce(arg_min(level, (start_ns, level)) FILTER (root), arg_min(level, (start_ns, level))) AS level
FROM (
    SELECT trace_id, start_ns, parent_span_id IS NULL AND NOT evaluation_only AS root, attr($key) AS level
    FROM spans
    WHERE contains(attributes, $key) OR contains(resource, $key) OR contains(scope, $key)
)
WHERE level <> '' AND hash(trace_id) IN (SELECT trace FROM window_traces)
GROUP BY trace_id;
