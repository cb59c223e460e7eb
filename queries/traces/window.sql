-- A row is a trace of the window: it belongs to the period in which its root started (its earliest span where the root is
-- missing), and to its root's environment, whatever the services below it state.
-- What started in the gap between two compared periods, [$gap_start_ns, $gap_end_ns), stays outside.
-- Ordered by the hash that kernels use for the trace.
SELECT hash(trace_id) AS trace, trace_id,
       coalesce(min(start_ns) FILTER (parent_span_id IS NULL AND NOT evaluation_only), min(start_ns)) AS begun,
       count(*) AS spans
FROM spans
GROUP BY trace_id
HAVING ($start_ns IS NULL OR begun >= $start_ns) AND ($end_ns IS NULL OR begun < $end_ns)
   AND ($gap_start_ns IS NULL OR begun < $gap_start_ns OR begun >= $gap_end_ns)
   AND ($environment IS NULL OR $environment = coalesce(
           arg_min(coalesce(environment, ''), start_ns) FILTER (parent_span_id IS NULL AND NOT evaluation_only),
           arg_min(coalesce(environment, ''), start_ns)))
ORDER BY trace;
