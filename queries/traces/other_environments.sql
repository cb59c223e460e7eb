-- A row is an environment other than the one asked for, with its traces of the same period: the rules are those of window.sql.
SELECT environment, count(*) AS traces
FROM (
    SELECT coalesce(min(start_ns) FILTER (parent_span_id IS NULL AND NOT evaluation_only), min(start_ns)) AS begun,
           coalesce(
               arg_min(coalesce(environment, ''), start_ns) FILTER (parent_span_id IS NULL AND NOT evaluation_only),
               arg_min(coalesce(environment, ''), start_ns)) AS environment
    FROM spans
    GROUP BY trace_id
)
WHERE environment <> $environment
  AND ($start_ns IS NULL OR begun >= $start_ns) AND ($end_ns IS NULL OR begun < $end_ns)
  AND ($gap_start_ns IS NULL OR begun < $gap_start_ns OR begun >= $gap_end_ns)
GROUP BY environment
ORDER BY environment;
