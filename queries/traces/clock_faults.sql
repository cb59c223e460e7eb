-- One row: how many distinct spans of the window end before they start.
SELECT count(DISTINCT hash(trace_id, span_id, service, kind, start_ns)) AS spans
FROM spans
WHERE end_before_start_ns > 0
  AND hash(trace_id) IN (SELECT trace FROM window_traces);
