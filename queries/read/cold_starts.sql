-- Instances that were slower just after they appeared: the calls of their first seconds beside those of the same operation later on.
-- $service: text, optional; only instances of this service
-- $seconds: integer, optional; how long an instance counts as cold (60)
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- Calls that enter a service are its server and consumer spans; an instance appears with the first of them in the window, so the first
-- rows of a window that begins amid traffic say nothing. Only operations that the instance ran both cold and warm have a row.
WITH calls AS (
    SELECT service, instance, version, operation, dur_ns, status, start_ns,
           min(start_ns) OVER (PARTITION BY service, instance, version) AS born_ns
    FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR)
    WHERE kind IN ('server', 'consumer') AND instance IS NOT NULL AND NOT evaluation_only
      AND ($service::VARCHAR IS NULL OR service = $service)
),
told AS (SELECT *, start_ns < born_ns + coalesce($seconds::BIGINT, 60) * 1000000000 AS cold FROM calls)
SELECT service, instance, version, operation, utc(any_value(born_ns)) AS appeared,
       count(*) FILTER (cold) AS cold_calls, count(*) FILTER (NOT cold) AS warm_calls,
       ms(quantile_cont(dur_ns, 0.50) FILTER (cold)) AS cold_p50_ms, ms(quantile_cont(dur_ns, 0.50) FILTER (NOT cold)) AS warm_p50_ms,
       ms(max(dur_ns) FILTER (cold)) AS cold_most_ms, count(*) FILTER (cold AND status = 'error') AS cold_errors,
       cold_p50_ms / nullif(warm_p50_ms, 0) AS ratio
FROM told
GROUP BY service, instance, version, operation
HAVING cold_calls > 0 AND warm_calls > 0
ORDER BY ratio DESC NULLS LAST, service, instance, version, operation;
