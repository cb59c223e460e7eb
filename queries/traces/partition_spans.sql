-- A row is a span of the traces in one partition, as numbers only: text never reaches the kernels.
-- window_traces is a table of the window's traces that the engine lays beside the store; $part counts from 0.
SELECT hash(s.trace_id) AS trace,
       hash(s.span_id) AS span,
       CASE WHEN s.parent_span_id IS NULL THEN 0::UBIGINT ELSE hash(s.parent_span_id) END AS parent,
       s.start_ns AS start,
       s.dur_ns AS dur,
       CASE s.kind WHEN 'internal' THEN 1 WHEN 'server' THEN 2 WHEN 'client' THEN 3
                   WHEN 'producer' THEN 4 WHEN 'consumer' THEN 5 ELSE 0 END::TINYINT AS kind,
       s.status = 'error' AS failed,
       hash(s.service, s.operation, coalesce(s.environment, '')) AS name,
       s.evaluation_only AS evaluation
FROM spans s
WHERE hash(s.trace_id) % $parts = $part
  AND hash(s.trace_id) IN (SELECT trace FROM window_traces);
