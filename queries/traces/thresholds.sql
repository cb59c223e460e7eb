-- A row is a trace whose trace state gives its sampler's rejection threshold (ot=th:HEX), the root's first. Digits are those of a
-- fraction, so the greatest text is the greatest threshold: the rarest, where several spans of a trace state one.
SELECT hash(trace_id) AS trace, coalesce(max(threshold) FILTER (root), max(threshold)) AS threshold
FROM (
    SELECT trace_id, parent_span_id IS NULL AND NOT evaluation_only AS root,
           regexp_extract(trace_state, '(?:^|,)[ \t]*ot=(?:[^,]*;)?th:([0-9a-f]{1,14})[ \t]*(?:[;,]|$)', 1) AS threshold
    FROM spans
    WHERE contains(trace_state, 'th:')
)
WHERE threshold <> '' AND hash(trace_id) IN (SELECT trace FROM window_traces)
GROUP BY trace_id;
