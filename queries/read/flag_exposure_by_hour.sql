-- How a flag's variants were shared out in each hour: requests and people under each, and their part of the requests that asked for it.
-- $flag: text, optional; only this flag
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- An hour is a whole one of UTC, and a request belongs to the one in which it started. A request that saw two variants counts under both,
-- so shares may add up to more than one; of_all_requests is the part of everything that started in that hour.
WITH requests AS (
    SELECT trace_id, coalesce(min(start_ns) FILTER (parent_span_id IS NULL AND NOT evaluation_only), min(start_ns)) // 3600000000000 AS hour
    FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR)
    GROUP BY trace_id
),
hours AS (SELECT hour, count(*) AS started FROM requests GROUP BY hour),
exposed AS (
    SELECT hour, flag_key, variant, trace_id, context_id
    FROM flag_evaluations JOIN requests USING (trace_id)
    WHERE variant IS NOT NULL AND ($flag::VARCHAR IS NULL OR flag_key = $flag)
),
asked AS (SELECT hour, flag_key, count(DISTINCT trace_id) AS asking FROM exposed GROUP BY hour, flag_key)
SELECT utc(hour * 3600000000000) AS "hour", flag_key, variant, count(DISTINCT trace_id) AS requests, count(DISTINCT context_id) AS contexts,
       count(DISTINCT trace_id) / any_value(asking) AS share, count(DISTINCT trace_id) / any_value(started) AS of_all_requests
FROM exposed JOIN asked USING (hour, flag_key) JOIN hours USING (hour)
GROUP BY exposed.hour, flag_key, variant
ORDER BY flag_key, exposed.hour, variant;
