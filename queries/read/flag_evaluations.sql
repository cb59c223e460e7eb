-- Every flag evaluation once, whichever way it came: the span that evaluated, the level it got and for whom.
-- $flag: text, optional; only this flag
-- $variant: text, optional; only this level
-- $trace: text, optional; only this trace
SELECT trace_id, span_id, flag_key, variant, context_id, provider, utc(time_ns) AS "time", time_ns
FROM flag_evaluations
WHERE ($flag::VARCHAR IS NULL OR flag_key = $flag)
  AND ($variant::VARCHAR IS NULL OR variant = $variant)
  AND ($trace::VARCHAR IS NULL OR trace_id = lower($trace))
ORDER BY time_ns, trace_id, span_id, flag_key, variant;
