-- A row is a trace with the value of one attribute that the user named as unit, wherever in the request it stands.
SELECT hash(trace_id) AS trace, hash(min(attr($key))) AS unit
FROM spans
WHERE attr($key) IS NOT NULL AND hash(trace_id) IN (SELECT trace FROM window_traces)
GROUP BY trace_id;
