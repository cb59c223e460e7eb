-- A row is a request of the window, with the slice of time that it falls into: it belongs, with every span of it, to the period in which
-- its root started, as queries/traces/window.sql has it. Null parameters read as "all".
-- With $every_ns slices are counted from the epoch; else 0 is what started before the gap [$gap_start_ns, $gap_end_ns) between two
-- compared periods, 1 what started after it, and what started in it stays outside.
CREATE OR REPLACE TEMP TABLE graph_requests AS
WITH traces AS (
    SELECT hash(trace_id) AS trace,
           coalesce(min(start_ns) FILTER (parent_span_id IS NULL AND NOT evaluation_only), min(start_ns)) AS begun
    FROM spans
    GROUP BY trace
    HAVING ($start_ns IS NULL OR begun >= $start_ns) AND ($end_ns IS NULL OR begun < $end_ns)
       AND ($gap_start_ns IS NULL OR begun < $gap_start_ns OR begun >= $gap_end_ns)
       AND ($environment IS NULL OR $environment = coalesce(
               arg_min(coalesce(environment, ''), start_ns) FILTER (parent_span_id IS NULL AND NOT evaluation_only),
               arg_min(coalesce(environment, ''), start_ns)))
)
SELECT trace,
       CASE WHEN $every_ns IS NOT NULL THEN begun // $every_ns::BIGINT
            WHEN $gap_end_ns IS NOT NULL AND begun >= $gap_end_ns THEN 1
            ELSE 0 END AS slice
FROM traces;
