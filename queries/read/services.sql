-- The services that sent spans: how many, with which versions, in which environments.
-- $environment: text, optional; only this deployment environment
-- $since: time, optional; only spans that start at or after it
-- $until: time, optional; only spans that start before it
SELECT service, count(*) AS spans, count(*) FILTER (status = 'error') AS errors,
       count(DISTINCT trace_id) AS traces, count(DISTINCT operation) AS operations, count(DISTINCT instance) AS instances,
       string_agg(DISTINCT version, ', ' ORDER BY version) AS versions,
       string_agg(DISTINCT environment, ', ' ORDER BY environment) AS environments,
       utc(min(start_ns)) AS first_seen, utc(max(start_ns)) AS last_seen
FROM distinct_spans
WHERE ($environment::VARCHAR IS NULL OR environment = $environment)
  AND ($since::BIGINT IS NULL OR start_ns >= $since)
  AND ($until::BIGINT IS NULL OR start_ns < $until)
GROUP BY service
ORDER BY service;
