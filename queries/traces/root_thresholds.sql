-- A row is a trace whose root's trace state gives its sampler's rejection threshold (ot=th:HEX). Digits are those of a fraction, so of
-- several roots the greatest text is the greatest threshold, the rarest.
SELECT hash(trace_id) AS trace,
       max(nullif(regexp_extract(trace_state, '(?:^|,)[ \t]*ot=(?:[^,]*;)?th:([0-9a-f]{1,14})[ \t]*(?:[;,]|$)', 1), '')) AS threshold
FROM spans
WHERE parent_span_id IS NULL AND NOT evaluation_only AND contains(trace_state, 'th:')
  AND hash(trace_id) IN (SELECT trace FROM window_traces)
GROUP BY trace_id
HAVING threshold IS NOT NULL;
