-- A row is a trace of which it is known whose request it was: the flag's context, else the first identifying attribute by $keys.
WITH candidates AS (
    SELECT trace_id, 0 AS priority, context_id AS unit FROM flag_records WHERE context_id <> ''
    UNION ALL
    SELECT trace_id, list_position($keys, key) AS priority, value AS unit FROM correlations WHERE list_contains($keys, key) AND value <> ''
)
SELECT hash(trace_id) AS trace, hash(arg_min(unit, (priority, unit))) AS unit
FROM candidates
WHERE hash(trace_id) IN (SELECT trace FROM window_traces)
GROUP BY trace_id;
