-- A row is a span of one of `chosen_traces`: the hash that kernels know it by, and the id that a trace UI knows it by.
SELECT hash(trace_id) AS trace, hash(span_id) AS span, span_id
FROM spans
SEMI JOIN chosen_traces USING (trace_id);
