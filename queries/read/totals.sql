-- What the store holds altogether: requests, distinct spans, services, and the time between the first and the last start.
-- $environment: text, optional; only this deployment environment
-- $since: time, optional; only spans that start at or after it
-- $until: time, optional; only spans that start before it
SELECT count(DISTINCT trace_id) AS traces, count(*) AS spans, count(DISTINCT service) AS services,
       utc(min(start_ns)) AS first_start, utc(max(start_ns)) AS last_start
FROM distinct_spans
WHERE ($environment::VARCHAR IS NULL OR environment = $environment)
  AND ($since::BIGINT IS NULL OR start_ns >= $since)
  AND ($until::BIGINT IS NULL OR start_ns < $until);
