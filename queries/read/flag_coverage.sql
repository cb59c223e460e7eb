-- How many of a service's requests ran under a known flag state, least first: what no flag can explain there, since nobody said.
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- A service is covered by an evaluation anywhere in the request, its own or a caller's. evaluations are those on its own spans.
WITH known AS (SELECT DISTINCT trace_id, true AS covered FROM flag_evaluations WHERE variant IS NOT NULL),
own AS (
    SELECT trace_id, span_id, count(*) AS evaluations, list(DISTINCT flag_key) AS keys
    FROM flag_evaluations WHERE variant IS NOT NULL GROUP BY trace_id, span_id
)
SELECT service, count(DISTINCT trace_id) AS requests, count(DISTINCT trace_id) FILTER (covered) AS with_flags,
       with_flags / requests AS share, coalesce(sum(evaluations), 0)::BIGINT AS evaluations,
       array_to_string(list_sort(list_distinct(flatten(list(keys) FILTER (keys IS NOT NULL)))), ', ') AS own_flags,
       min(trace_id) FILTER (covered IS NULL) AS example_trace_id
FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR)
LEFT JOIN known USING (trace_id) LEFT JOIN own USING (trace_id, span_id)
WHERE NOT evaluation_only
GROUP BY service
ORDER BY share, requests DESC, service;
