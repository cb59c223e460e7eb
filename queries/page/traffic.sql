-- A row is an entry point in a slice of time (slice null: in the whole window; service null as well: all entry points together).
-- Requests are told by their root, the earliest span without a parent; one whose root is missing has no outcome and is left out.
-- $slice_ns long slices count from $since. What only repeats a root is counted once, since a trace has one root here.
WITH chosen AS (
    SELECT arg_min(rowid, (start_ns, rowid)) AS root
    FROM spans
    WHERE parent_span_id IS NULL AND NOT evaluation_only AND start_ns >= $since AND start_ns < $until
      AND ($environment IS NULL OR environment = $environment)
      AND ($service IS NULL OR trace_id IN (SELECT trace_id FROM spans WHERE service = $service))
      AND ($flag IS NULL OR trace_id IN (
              SELECT trace_id FROM flag_records WHERE flag_key = $flag AND ($variant IS NULL OR variant = $variant)))
    GROUP BY trace_id
),
requests AS (
    SELECT service, operation, (start_ns - $since) // $slice_ns AS slice, dur_ns, status = 'error' AS failed
    FROM spans
    WHERE rowid IN (SELECT root FROM chosen) AND ($entry IS NULL OR operation = $entry)
)
SELECT service, operation, slice, count(*) AS requests, count(*) FILTER (failed) AS errors,
       ms(quantile_cont(dur_ns, 0.50)) AS p50_ms, ms(quantile_cont(dur_ns, 0.95)) AS p95_ms
FROM requests
GROUP BY GROUPING SETS ((), (service, operation), (service, operation, slice))
ORDER BY service NULLS FIRST, operation, slice NULLS FIRST;
