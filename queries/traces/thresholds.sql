-- A row is a trace of unstated_traces, whose root gives no rejection threshold, with the greatest that another span of it gives.
-- unstated_traces is a table that the engine lays beside the store; see root_thresholds.sql.
SELECT hash(trace_id) AS trace,
       max(nullif(regexp_extract(trace_state, '(?:^|,)[ \t]*ot=(?:[^,]*;)?th:([0-9a-f]{1,14})[ \t]*(?:[;,]|$)', 1), '')) AS threshold
FROM spans
WHERE contains(trace_state, 'th:') AND hash(trace_id) IN (SELECT trace FROM unstated_traces)
GROUP BY trace_id
HAVING threshold IS NOT NULL;
