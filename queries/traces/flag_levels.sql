-- A row is a flag at a level, with the number of traces that ran under it.
SELECT flag_key, variant, count(DISTINCT trace_id) AS traces
FROM flag_records
WHERE variant IS NOT NULL AND hash(trace_id) IN (SELECT trace FROM window_traces)
GROUP BY ALL
ORDER BY ALL;
