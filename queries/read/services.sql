-- The services that sent spans: how many, with which versions, in which environments.
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
SELECT service, count(*) AS spans, count(*) FILTER (status = 'error') AS errors,
       count(DISTINCT trace_id) AS traces, count(DISTINCT operation) AS operations, count(DISTINCT instance) AS instances,
       string_agg(DISTINCT version, ', ' ORDER BY version) AS versions,
       string_agg(DISTINCT environment, ', ' ORDER BY environment) AS environments,
       utc(min(start_ns)) AS first_seen, utc(max(start_ns)) AS last_seen
FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR)
GROUP BY service
ORDER BY service;
