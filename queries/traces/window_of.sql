-- A row is one of `chosen_traces`, as in window.sql: only these are read, so a handful of a large store comes at once.
SELECT hash(trace_id) AS trace, trace_id,
       coalesce(min(start_ns) FILTER (parent_span_id IS NULL AND NOT evaluation_only), min(start_ns)) AS begun,
       count(*) AS spans
FROM spans
SEMI JOIN chosen_traces USING (trace_id)
GROUP BY trace_id
ORDER BY trace;
