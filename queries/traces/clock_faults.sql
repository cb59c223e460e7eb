-- One row: how many spans of the window end before they start.
SELECT count(*) AS spans
FROM spans
WHERE end_before_start_ns > 0 AND hash(trace_id) IN (SELECT trace FROM window_traces);
