-- Suspected N+1 patterns: pairs of a parent's and a call's operation with many calls one after another below one parent, in varying number.
-- $service: text, optional; only parents of this service
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- $least: integer, optional; the longest chain has at least so many calls (10)
-- A call that starts before those before it have ended runs beside them and does not count. Per parent that makes several such calls:
-- their mean number, also in the earlier and the later half of these parents, so that one sees it grow; a loop of fixed length is no suspect.
WITH kept AS (
    SELECT trace_id, span_id, parent_span_id, service, operation, kind, start_ns, dur_ns
    FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR) WHERE NOT evaluation_only
),
calls AS (
    SELECT *, start_ns >= coalesce(max(start_ns + dur_ns) OVER (
                  PARTITION BY trace_id, parent_span_id, service, operation ORDER BY start_ns, dur_ns, span_id
                  ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
              ), start_ns) AS in_turn
    FROM kept
    WHERE kind IN ('client', 'server') AND parent_span_id IS NOT NULL
),
chains AS (
    SELECT trace_id, parent_span_id AS span_id, service AS call_service, operation AS call_operation,
           count(*) AS chain, sum(dur_ns) AS spent
    FROM calls
    WHERE in_turn
    GROUP BY ALL
    HAVING count(*) > 1
),
halved AS (
    SELECT *, start_ns >= median(start_ns) OVER (PARTITION BY service, operation, call_service, call_operation) AS late
    FROM (SELECT trace_id, span_id, service, operation, start_ns FROM kept) JOIN chains USING (trace_id, span_id)
    WHERE $service::VARCHAR IS NULL OR service = $service
)
SELECT service, operation, call_service, call_operation, count(*) AS parents, avg(chain) AS mean_calls, max(chain) AS most_calls,
       avg(chain) FILTER (NOT late) AS earlier_mean, avg(chain) FILTER (late) AS later_mean, ms(sum(spent)) AS total_ms,
       arg_max(trace_id, (chain, trace_id)) AS example_trace_id
FROM halved
GROUP BY service, operation, call_service, call_operation
HAVING most_calls >= coalesce($least::BIGINT, 10) AND most_calls >= 1.5 * mean_calls
ORDER BY total_ms DESC, service, operation, call_service, call_operation;
