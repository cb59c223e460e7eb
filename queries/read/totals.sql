-- What the store holds altogether: requests, distinct spans, services, and the time between the first and the last start.
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
SELECT count(DISTINCT trace_id) AS traces, count(*) AS spans, count(DISTINCT service) AS services,
       utc(min(start_ns)) AS first_start, utc(max(start_ns)) AS last_start
FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR);
