-- A row is a table that reports are made from: how many rows came since that belong to a window, by the requests known there
-- (known_traces, which the engine lays beside the store) or, for spans, by their start.
SELECT 0 AS place, count(*) AS rows FROM spans
WHERE rowid >= $first_spans
  AND ((($start_ns IS NULL OR start_ns >= $start_ns) AND ($end_ns IS NULL OR start_ns < $end_ns))
       OR hash(trace_id) IN (SELECT trace FROM known_traces))
UNION ALL
SELECT 1, count(*) FROM flag_records WHERE rowid >= $first_flag_records AND hash(trace_id) IN (SELECT trace FROM known_traces)
UNION ALL
SELECT 2, count(*) FROM correlations WHERE rowid >= $first_correlations AND hash(trace_id) IN (SELECT trace FROM known_traces)
ORDER BY place;
