-- One row: how many flag evaluations of the window carry neither variant nor value.
SELECT count(DISTINCT hash(trace_id, span_id, flag_key)) AS evaluations
FROM flag_records
WHERE variant IS NULL AND hash(trace_id) IN (SELECT trace FROM window_traces);
