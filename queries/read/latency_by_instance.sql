-- Each instance of a service beside all of its service: calls that enter it, errors and latency, those furthest above the rest first.
-- $service: text, optional; only instances of this service
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- Calls that enter a service are its server and consumer spans. p95_ratio is the instance's 95th percentile of time over the median of its
-- service's instances: one bad host stands out, a slow service does not. Instances are told apart by service.instance.id.
WITH instances AS (
    SELECT service, instance, string_agg(DISTINCT version, ', ' ORDER BY version) AS versions, count(*) AS calls,
           count(*) FILTER (status = 'error') AS errors, quantile_cont(dur_ns, [0.50, 0.95]) AS quantiles,
           min(start_ns) AS first_ns, max(start_ns) AS last_ns
    FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR)
    WHERE kind IN ('server', 'consumer') AND NOT evaluation_only
      AND ($service::VARCHAR IS NULL OR service = $service)
    GROUP BY service, instance
)
SELECT service, instance, versions, calls, errors, ms(quantiles[1]) AS p50_ms, ms(quantiles[2]) AS p95_ms,
       quantiles[2] / nullif(median(quantiles[2]) OVER (PARTITION BY service), 0) AS p95_ratio,
       utc(first_ns) AS first_seen, utc(last_ns) AS last_seen
FROM instances
ORDER BY p95_ratio DESC NULLS LAST, service, instance;
