-- A row is something that says whose request a trace is: a flag's context (priority 0), else an identifying attribute by its place in $keys.
SELECT hash(trace_id) AS trace, 0::INTEGER AS priority, hash(context_id) AS unit FROM flag_records WHERE context_id <> ''
UNION ALL
SELECT hash(trace_id), list_position($keys, key)::INTEGER, hash(value) FROM correlations WHERE list_contains($keys, key) AND value <> '';
